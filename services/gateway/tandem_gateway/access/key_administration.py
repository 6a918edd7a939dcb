"""Make, list, revoke and rotate API keys. The command line and the operators' API use it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tandem_gateway.access.document_filter import make_filter
from tandem_gateway.access.key_text import digest_of, hasher, new_id, new_text
from tandem_gateway.access.principal import MAX_STARS, is_glob
from tandem_gateway.errors import InvalidRequest, NotFound
from tandem_gateway.filters.parsing import MAX_FIELD_CHARS
from tandem_gateway.ports.keys import KeyStore
from tandem_gateway.records.access import ROLES, ApiKey, Role
from tandem_gateway.records.limits import MAX_LIMITS, Limit, parse_limit, parse_limits

MAX_NAME_CHARS: Final = 100
NAME_PATTERN: Final = "^[!-~]([ -~]*[!-~])?$"
"""Pattern of the names that every key may have, in the syntax of JSON Schema; other printable characters work too."""
MAX_GLOBS: Final = 100
MAX_SECONDS: Final = 10 * 366 * 86_400
"""Longest life of a key that expires, in seconds."""
MAX_GRACE_SECONDS: Final = 30 * 86_400
"""Longest time for which the text of a key works after its rotation, in seconds."""
MAX_EQUALITIES: Final = 10
"""Maximum number of fields of a filter."""
MAX_VALUE_CHARS: Final = 512
"""Maximum length of a value of a filter, in characters."""
MAX_NUMBER: Final = 2**53
"""Largest number in a filter; every client reads it without loss."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as somebody asks for it; ``KeyAdministration.create`` checks it.

    Attributes:
        name: tells the key apart in lists and logs.
        role: what the key allows.
        collections: globs of the collections that the key may use.
        seconds: life of the key; None for a key that does not expire.
        filter: fields of metadata and their values, decoded from JSON; None for all documents.
        limits: texts of the key's own limits; None for the limits of all keys. No text means no limit.
    """

    name: str
    role: str
    collections: Sequence[str] = ("*",)
    seconds: int | None = None
    filter: Any = None
    limits: Sequence[str] | None = None


class KeyAdministration:
    """Changes the keys of a store. Its methods block."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def create(self, wanted: NewKey) -> tuple[ApiKey, str]:
        """Make a key; return it with its text, which nothing keeps.

        Raises:
            InvalidRequest: a field is not valid, or there are too many keys.
        """
        role = check_key(wanted)
        key_id = new_id()
        text = new_text(key_id)
        now = self._clock()
        key = ApiKey(
            id=key_id,
            name=wanted.name,
            role=role,
            collections=tuple(wanted.collections),
            digest=digest_of(text.encode(), hasher(self._store.secret())),
            created_at=now,
            expires_at=None if wanted.seconds is None else now + wanted.seconds,
            filter=None if wanted.filter is None else make_filter(wanted.filter).json,
            limits=None if wanted.limits is None else check_limits(wanted.limits),
        )
        self._store.add(key)
        return key, text

    def keys(self) -> Sequence[ApiKey]:
        """Return all keys, the revoked ones included, in the order of their creation."""
        return self._store.table().keys

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key for ever, and return it.

        Raises:
            NotFound: there is no such key.
        """
        key = self._store.revoke(key_id, self._clock())
        if key is None:
            raise _absent(key_id)
        return key

    def rotate(self, key_id: str, grace_seconds: int = 0) -> tuple[ApiKey, str]:
        """Give a key a new text; return both.

        Args:
            key_id: id of the key.
            grace_seconds: for how long the present text works beside the new one.

        Raises:
            InvalidRequest: ``grace_seconds`` is beyond its limit.
            NotFound: there is no such key, or it is revoked.
        """
        _check_range("grace_seconds", grace_seconds, 0, MAX_GRACE_SECONDS)
        text = new_text(key_id)
        digest = digest_of(text.encode(), hasher(self._store.secret()))
        key = self._store.rotate(key_id, digest, self._clock() + grace_seconds)
        if key is None:
            raise _absent(key_id)
        return key, text


def check_key(wanted: NewKey) -> Role:
    """Check the fields of a new key, and return its role.

    Raises:
        InvalidRequest: names the field and the limit.
    """
    name = wanted.name
    if not (1 <= len(name) <= MAX_NAME_CHARS and name.isprintable() and name.strip() == name):
        raise InvalidRequest(
            f"name: 1 to {MAX_NAME_CHARS} printable characters were expected, without a space at an end",
            param="name",
            code="limit_exceeded" if len(name) > MAX_NAME_CHARS else "invalid_field",
        )
    role = next((each for each in ROLES if each == wanted.role), None)
    if role is None:
        raise InvalidRequest(f"role: one of {', '.join(ROLES)} was expected", param="role")
    if not 1 <= len(wanted.collections) <= MAX_GLOBS:
        raise InvalidRequest(
            f"collections: 1 to {MAX_GLOBS} globs were expected, not {len(wanted.collections)}",
            param="collections",
            code="limit_exceeded" if wanted.collections else "invalid_field",
        )
    for place, glob in enumerate(wanted.collections):
        if not is_glob(glob):
            raise InvalidRequest(
                f"collections[{place}]: 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '-', '?' and at most "
                f"{MAX_STARS} '*' were expected",
                param=f"collections[{place}]",
            )
    if wanted.seconds is not None:
        _check_range("expires_in_seconds", wanted.seconds, 1, MAX_SECONDS)
    if wanted.filter is not None:
        check_equalities(wanted.filter)
        if role == "admin":
            raise InvalidRequest(
                "role: a key with a filter has the role 'search' or 'ingest': an administrator changes collections as "
                "a whole, with the documents of others",
                param="role",
            )
    return role


def check_limits(texts: Sequence[str]) -> tuple[Limit, ...]:
    """Return the limits that texts name.

    Raises:
        InvalidRequest: names the place.
    """
    if len(texts) > MAX_LIMITS:
        raise InvalidRequest(
            f"limits: at most {MAX_LIMITS} were expected, not {len(texts)}", param="limits", code="limit_exceeded"
        )
    for place, text in enumerate(texts):
        try:
            parse_limit(text)
        except ValueError as error:
            raise InvalidRequest(f"limits[{place}]: {error}", param=f"limits[{place}]") from None
    try:
        return parse_limits(texts)
    except ValueError as error:
        raise InvalidRequest(f"limits: {error}", param="limits") from None


def check_equalities(given: Any) -> None:
    """Check the filter of a key: an object of fields and scalars, which a write can give to its documents.

    Raises:
        InvalidRequest: names the place.
    """
    if not isinstance(given, dict) or not 1 <= len(given) <= MAX_EQUALITIES:
        raise InvalidRequest(
            f"filter: an object of 1 to {MAX_EQUALITIES} fields and their values was expected", param="filter"
        )
    for name, value in given.items():
        place = f"filter.{name[:80]}"
        if not 1 <= len(name) <= MAX_FIELD_CHARS or name.startswith("$") or not _is_text(name):
            raise InvalidRequest(
                f"{place}: a field of 1 to {MAX_FIELD_CHARS} characters was expected, and no operator", param=place
            )
        if isinstance(value, str):
            valid = len(value) <= MAX_VALUE_CHARS and _is_text(value)
        else:
            valid = isinstance(value, int) and abs(value) <= MAX_NUMBER
        if not valid:
            raise InvalidRequest(
                f"{place}: a string of at most {MAX_VALUE_CHARS} characters, a whole number of at most "
                f"{MAX_NUMBER} or a boolean was expected",
                param=place,
            )


def _is_text(text: str) -> bool:
    """Return whether metadata may have a text: it has no NUL character and no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequest(
            f"{name}: a whole number from {least} to {most} was expected, not {value}",
            param=name,
            code="limit_exceeded",
        )


def _absent(key_id: str) -> NotFound:
    return NotFound(f"id: there is no key {key_id[:80]!r} that is not revoked", param="id")
