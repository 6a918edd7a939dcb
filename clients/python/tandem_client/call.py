"""A call of the API as a value: the request, and how to decode its reply. It knows no network."""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from tandem_client.errors import InvalidReply
from tandem_contract import headers as names
from tandem_contract.client_api import Filter

T = TypeVar("T")
V = TypeVar("V")
S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and the type of its reply.

    Attributes:
        method: of HTTP.
        path: from the root of the gateway, with its parts percent-encoded.
        decode: turns the body of a successful reply into the result; raises InvalidReply.
        params: of the query.
        body: empty for none.
        content_type: of the body.
        headers: of this request alone.
        repeatable: whether two requests have the effect of one, so that a lost reply allows a second.
        sends_deadline: whether the gateway takes ``x-request-timeout-ms`` for this route.
        sends_position: whether the newest known ``x-tandem-position`` goes with it.
        server_seconds: seconds that the gateway waits by request before it answers.
    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = names.JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    sends_deadline: bool = False
    sends_position: bool = False
    server_seconds: float = 0.0


Procedure = Generator[Call[Any], Any, T]
"""Several calls that follow from each other: it yields a call, is sent its result, and returns the result of all."""


def reply_of(kind: type[S]) -> Callable[[bytes], S]:
    """Return the decoder of a message of the contract; it ignores fields that it does not know."""
    decoder = msgspec.json.Decoder(kind)

    def decode(body: bytes) -> S:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidReply(f"the reply is no {kind.__name__} of Tandem's API: {error}") from error

    return decode


def field_of(kind: type[S], get: Callable[[S], T]) -> Callable[[bytes], T]:
    """Return a decoder of one part of a message."""
    decode = reply_of(kind)
    return lambda body: get(decode(body))


def as_text(body: bytes) -> str:
    """Decode a reply that is text."""
    return body.decode(errors="replace")


def as_object(body: bytes) -> dict[str, Any]:
    """Decode a reply that is any JSON object."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidReply(f"the reply is no JSON object: {error}") from error


def body_of(message: msgspec.Struct) -> bytes:
    """Encode a message without fields that have their defaults, so that an older gateway knows all fields that come."""
    return to_json(sparse(message))


def sparse(message: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a message that do not have their defaults."""
    found: dict[str, Any] = {}
    for declared in msgspec.structs.fields(message):
        value = getattr(message, declared.name)
        if value is msgspec.UNSET or (declared.default is not msgspec.NODEFAULT and value == declared.default):
            continue
        if declared.default_factory is not msgspec.NODEFAULT and value == declared.default_factory():
            continue
        found[declared.encode_name] = _sparse_value(value)
    return found


def _sparse_value(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return sparse(value)
    if isinstance(value, list | tuple):
        return [_sparse_value(item) for item in value]
    return value


def to_json(value: Any) -> bytes:
    """Encode JSON; refuse what JSON cannot say.

    Raises:
        ValueError: NaN, an infinite number, half a surrogate pair, or a type that JSON does not have.
    """
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, UnicodeError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"it cannot be sent as JSON: {error}") from error
    # msgspec writes null for these numbers, which would be another value without a word.
    if b"null" in encoded and _has_no_number(msgspec.to_builtins(value)):
        raise ValueError("it cannot be sent as JSON: NaN and infinite numbers are not allowed")
    return encoded


def _has_no_number(value: Any) -> bool:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, float):
            if here - here != 0:
                return True
        elif isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list | tuple):
            waiting.extend(here)
    return False


def part(text: str | int, name: str) -> str:
    """Percent-encode a part of a path.

    Args:
        text: the part.
        name: of the argument, for the error.

    Raises:
        ValueError: it is empty, ``.`` or ``..``, which would make another path.
    """
    encoded = str(text)
    if encoded in ("", ".", ".."):
        raise ValueError(f"{name}: a text other than {encoded!r} was expected")
    return quote(encoded, safe="")


def several(values: Iterable[V], name: str) -> Iterable[V]:
    """Return the values; refuse one text or one mapping, whose letters or names would count as values.

    Args:
        values: of an argument that takes several.
        name: of the argument, for the error.

    Raises:
        TypeError: it is one value.
    """
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"{name}: a list was expected, not one {type(values).__name__}; put it into a list")
    return values


def filter_param(conditions: Filter | None) -> dict[str, str]:
    """Return a filter as a query parameter; nothing without one."""
    return {} if conditions is None else {"filter": to_json(conditions).decode()}


def known(**values: str | int | None) -> dict[str, str]:
    """Return query parameters without those that are None."""
    return {name: str(value) for name, value in values.items() if value is not None}
