"""The caller of a request, and the pure decisions about what it may do."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tandem_gateway.access.document_filter import DocumentFilter
from tandem_gateway.access.trail import note
from tandem_gateway.errors import Forbidden
from tandem_gateway.records.access import ROLES, Role
from tandem_gateway.records.limits import Limit

EVERY_COLLECTION: Final = "*"
BOOTSTRAP_ID: Final = "bootstrap"
"""Id of the principal whose key is a setting."""
MAX_STARS: Final = 4
"""Maximum number of ``*`` in a glob: the time of a match grows with the power of their number."""

GLOB_PATTERN: Final = rf"^[A-Za-z0-9._?-]*([*][A-Za-z0-9._?-]*){{0,{MAX_STARS}}}$"
"""Pattern of a glob of at most 64 characters, in the syntax of JSON Schema."""
_MAX_NAME_CHARS: Final = 64
_GLOB: Final = re.compile(r"[A-Za-z0-9._*?-]{1,64}\Z")
_RANK: Final = {role: rank for rank, role in enumerate(ROLES)}


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid key.

    Attributes:
        id: id of the key.
        name: name of the key, for logs.
        role: what the caller may do.
        collections: globs of the collections that the caller may use.
        pattern: matches the names of these collections; None if the caller may use every collection.
        filter: the documents that the caller may use; None for all of them.
        limits: what the caller may use; None for the limits of all callers.
        expires_at: end of its token, in seconds since the epoch. The end of a key is not here, because it may change.
    """

    id: str
    name: str
    role: Role
    collections: tuple[str, ...]
    pattern: re.Pattern[str] | None
    filter: DocumentFilter | None = None
    limits: tuple[Limit, ...] | None = None
    expires_at: float = math.inf

    def covers(self, collection: str) -> bool:
        """Return whether the caller may use a collection of this name, whether it exists or not."""
        if self.pattern is None:
            return True
        return len(collection) <= _MAX_NAME_CHARS and self.pattern.fullmatch(collection) is not None


def make_principal(
    id: str,
    name: str,
    role: Role,
    collections: Sequence[str],
    filter: DocumentFilter | None = None,
    limits: tuple[Limit, ...] | None = None,
) -> Principal:
    """Return the principal of a key."""
    pattern = None if EVERY_COLLECTION in collections else _pattern(collections)
    return Principal(id, name, role, tuple(collections), pattern, filter, limits)


def is_glob(text: str) -> bool:
    """Return whether a text is a glob: 1 to 64 characters of a collection's name, ``*`` for any run, ``?`` for one."""
    return _GLOB.match(text) is not None and text.count("*") <= MAX_STARS


def includes(role: Role, other: Role) -> bool:
    """Return whether a role includes another."""
    return _RANK[role] >= _RANK[other]


def check_role(principal: Principal, role: Role) -> None:
    """Check that the caller has a role.

    Raises:
        Forbidden: it has not; the message names the role.
    """
    if _RANK[principal.role] < _RANK[role]:
        raise Forbidden(
            f"authorization: a key with the role {role!r} is needed, and this one has {principal.role!r}",
            param="authorization",
        )


def check_use(principal: Principal, role: Role, collection: str) -> None:
    """Check that the caller has a role and may use a collection.

    The decision does not depend on whether the collection exists, so the reply does not tell. The audit log gets the
    collection.

    Raises:
        Forbidden: it has not the role, or may not use the collection. A caller with a filter has not the role
            ``admin``: a collection as a whole has documents of others.
    """
    note(collection=collection)
    check_role(principal, role)
    if role == "admin":
        _check_no_filter(principal)
    if not principal.covers(collection):
        raise Forbidden(f"collection: this key may not use the collection {collection[:80]!r}", param="collection")


def check_everything(principal: Principal, role: Role) -> None:
    """Check that the caller has a role and may use every collection.

    Raises:
        Forbidden: it has not the role, or may use some collections or documents only.
    """
    check_role(principal, role)
    _check_no_filter(principal)
    if principal.pattern is not None:
        raise Forbidden(
            f"authorization: a key for every collection ({EVERY_COLLECTION!r}) is needed, and this one has "
            f"{', '.join(principal.collections)[:200]}",
            param="authorization",
        )


def _check_no_filter(principal: Principal) -> None:
    if principal.filter is not None:
        raise Forbidden("authorization: a key without a filter is needed, and this one has one", param="authorization")


def _pattern(globs: Sequence[str]) -> re.Pattern[str]:
    parts = (
        "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.findall(r"[*?]|[^*?]+", glob))
        for glob in globs
    )
    return re.compile("|".join(parts), re.DOTALL)
