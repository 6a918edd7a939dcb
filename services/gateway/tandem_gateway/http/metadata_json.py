"""Reads metadata from JSON, with the digits of its numbers."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tandem_contract.client_api import METADATA_DEPTH, FlatValue, Metadata
from tandem_contract.decoding import InvalidMessage, cut, decode_json

_metadata: Final = msgspec.json.Decoder(Metadata)
_values: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_flat: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(FlatValue)
_exact: Final = msgspec.json.Decoder(dict[str, Any], float_hook=lambda text: msgspec.Raw(text.encode()))


def read_metadata(raw: bytes, place: str) -> tuple[Metadata, dict[str, Any] | None]:
    """Return metadata; and once more with numbers as in ``read_exactly`` if floats would lose digits, else None.

    Args:
        raw: the JSON.
        place: path of the metadata in the request, for errors.

    Raises:
        InvalidMessage: it is not JSON, not an object, or has a value or depth that metadata must not have.
    """
    metadata = _read_valid(raw, place)
    return metadata, read_exactly(raw) if _loses_digits(raw, metadata) else None


def read_exactly(raw: str | bytes) -> dict[str, Any]:
    """Return valid metadata with each number that is not whole as its JSON, ``msgspec.Raw``, which keeps all digits."""
    return _exact.decode(raw)


def _read_valid(raw: bytes, place: str) -> Metadata:
    try:
        return decode_json(raw, _metadata, at=place)
    except InvalidMessage:
        # msgspec does not name the key of an invalid value. Decode each value by itself to find it.
        _find_invalid(raw, place, METADATA_DEPTH)
        raise


def _find_invalid(raw: bytes, place: str, depth: int) -> None:
    """Raise the error for the first invalid value of an object; ``depth`` objects may be inside each other."""
    for key, value in decode_json(raw, _values, at=place).items():
        here, content = f"{place}.{cut(key)}", bytes(value)
        if not content.startswith(b"{"):
            decode_json(content, _flat, at=here)
        elif depth == 1:
            raise InvalidMessage(
                f"{here}: at most {METADATA_DEPTH} objects inside each other are allowed",
                code="limit_exceeded",
                param=here,
            )
        else:
            _find_invalid(content, here, depth - 1)


def _loses_digits(raw: bytes, metadata: Metadata) -> bool:
    """Return whether a float would lose digits, because it has more than a double can hold."""
    if not _has_float(metadata):
        return False
    lossy = False

    def compare(text: str) -> float:
        nonlocal lossy
        value = float(text)
        try:
            lossy = lossy or Decimal(text) != Decimal(repr(value))
        except InvalidOperation:  # Decimal rejects the exponent; store the number as sent
            lossy = True
        return value

    msgspec.json.Decoder(dict[str, Any], float_hook=compare).decode(raw)
    return lossy


def _has_float(value: object) -> bool:
    match value:
        case float():
            return True
        case dict():
            return any(map(_has_float, value.values()))
        case list():
            return any(map(_has_float, value))
    return False
