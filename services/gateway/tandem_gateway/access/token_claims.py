"""What a verified token allows: pure decisions from its claims.

Nothing is allowed by mistake: a claim of another type, an unknown glob and a missing claim without a default refuse the
token. No message has the value of a claim.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tandem_gateway.access.document_filter import DocumentFilter, make_filter
from tandem_gateway.access.key_administration import MAX_GLOBS, check_equalities
from tandem_gateway.access.principal import Principal, includes, is_glob, make_principal
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.ports.tokens import MAX_SUBJECT_CHARS, ClaimsRefused, RefusalReason
from tandem_gateway.records.access import ROLES, Role

ID_PREFIX: Final = "jwt:"
"""Begin of the id of a principal with a token; the rest is the claim ``sub``."""
MAX_CALLER_CHARS: Final = len(ID_PREFIX) + MAX_SUBJECT_CHARS
"""Maximum length of the id of a caller: those with a token have the longest."""
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """How the claims of an issuer are read.

    The name of a claim is a path with dots, unless the token has a claim with the whole name.

    Attributes:
        role: claim with roles, a string with spaces between them or an array.
        roles: name of a role outside → role; empty if the claim has the gateway's own names.
        default_role: role of a token that names none; None refuses it.
        collections: claim with globs, a string with spaces or commas between them or an array.
        default_collections: globs of a token without this claim; empty refuses it.
        filter: claim with an object of fields and values, which narrows the token to the documents that have them.
        filter_required: whether a token without this claim is refused.
    """

    role: str = "tandem_role"
    roles: Mapping[str, Role] | None = None
    default_role: Role | None = None
    collections: str = "tandem_collections"
    default_collections: tuple[str, ...] = ()
    filter: str = "tandem_filter"
    filter_required: bool = False


def principal_of_claims(claims: Mapping[str, Any], rules: ClaimRules, expires_at: float = math.inf) -> Principal:
    """Return the principal of a verified token, whose ``sub`` is a string.

    Args:
        claims: of the token.
        rules: how they are read.
        expires_at: end of the token, in seconds since the epoch.

    Raises:
        ClaimsRefused: the claims allow nothing.
    """
    role = _role(claims, rules)
    collections = _collections(claims, rules)
    condition = _filter(claims, rules)
    if condition is not None and role == "admin":  # as for a key: see key_administration
        raise ClaimsRefused(
            "filter",
            "authorization: the role 'admin' is for all documents of a collection, and the token has a filter in its "
            f"claim {rules.filter[:80]!r}",
        )
    subject = claims["sub"]
    principal = make_principal(f"{ID_PREFIX}{subject}", subject, role, collections, condition)
    return replace(principal, expires_at=expires_at)


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim of a name, or a nested one by a path with dots; None without it.

    A claim with the whole name counts first: names such as ``https://example.org/role`` have dots of their own.
    """
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part, _ABSENT) if isinstance(found, Mapping) else _ABSENT
        if found is _ABSENT:
            return None
    return found


def _role(claims: Mapping[str, Any], rules: ClaimRules) -> Role:
    """Return the largest role that a token names; the others' names are ignored."""
    ours: Mapping[str, Role] = rules.roles or {role: role for role in ROLES}
    best: Role | None = None
    for name in _strings(claims, rules.role, "role", " "):
        role = ours.get(name)
        if role is not None and (best is None or includes(role, best)):
            best = role
    best = best or rules.default_role
    if best is None:
        raise ClaimsRefused(
            "role", f"authorization: the token has no role for this gateway in its claim {rules.role[:80]!r}"
        )
    return best


def _collections(claims: Mapping[str, Any], rules: ClaimRules) -> tuple[str, ...]:
    name = rules.collections
    if claim(claims, name) is None:
        if not rules.default_collections:
            raise ClaimsRefused("collections", f"authorization: the token has no claim {name[:80]!r} with collections")
        return rules.default_collections
    globs = _strings(claims, name, "collections", ", ")
    if not 1 <= len(globs) <= MAX_GLOBS:
        raise ClaimsRefused(
            "collections",
            f"authorization: the token's claim {name[:80]!r} must have 1 to {MAX_GLOBS} globs, and has {len(globs)}",
        )
    for place, glob in enumerate(globs):
        if not is_glob(glob):
            raise ClaimsRefused(
                "collections",
                f"authorization: the token's claim {name[:80]!r} has no valid glob of collections at place {place}",
            )
    return tuple(globs)


def _filter(claims: Mapping[str, Any], rules: ClaimRules) -> DocumentFilter | None:
    """Return the filter of a token; None for all documents."""
    given = claim(claims, rules.filter)
    if given is None:
        if rules.filter_required:
            raise ClaimsRefused("filter", f"authorization: the token has no claim {rules.filter[:80]!r} with a filter")
        return None
    try:
        check_equalities(given)
    except InvalidRequest:
        raise ClaimsRefused(
            "filter", f"authorization: the token's claim {rules.filter[:80]!r} is no object of fields and their values"
        ) from None
    return make_filter(given)


def _strings(claims: Mapping[str, Any], name: str, reason: RefusalReason, separators: str) -> Sequence[str]:
    """Return the strings of a claim; none without it."""
    given = claim(claims, name)
    if given is None:
        return ()
    if isinstance(given, str):
        for separator in separators:
            given = given.replace(separator, " ")
        return [part for part in given.split(" ") if part]
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return given
    raise ClaimsRefused(
        reason, f"authorization: the token's claim {name[:80]!r} is neither a string nor an array of them"
    )
