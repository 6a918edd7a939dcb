"""Evaluates filters against metadata."""

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tandem_gateway.filters.tree import (
    Both,
    Contains,
    Either,
    Equals,
    Exists,
    Filter,
    Leaf,
    Not,
    Number,
    Ordered,
    key_of,
)

_MISSING: Final = object()
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def exact_number(text: str) -> Decimal:
    """Return a JSON number with a fraction or an exponent, with all its digits."""
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of more than 18 digits; a store holds only those that are almost zero
        return Decimal(0)


_metadata = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number)


def decode_metadata(metadata: str) -> dict[str, Any]:
    """Return metadata from JSON text; numbers are integers and decimals."""
    return _metadata.decode(metadata)


def matches_json(condition: Filter, metadata: str) -> bool:
    """Return whether a filter matches metadata as the store keeps it, JSON text."""
    return matches(condition, decode_metadata(metadata))


def matches(condition: Filter, metadata: Mapping[str, Any]) -> bool:
    """Return whether a filter matches metadata, of which the numbers are integers and decimals."""
    match condition:
        case Both(parts):
            return all(matches(part, metadata) for part in parts)
        case Either(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
    value = value_at(metadata, condition.field)
    return value is not _MISSING and _holds(condition, value)


def _holds(condition: Leaf, value: Any) -> bool:
    match condition:
        case Exists():
            return True
        case Equals(keys=keys):
            return key_of(value) in keys
        case Contains(key=key):
            return isinstance(value, list) and any(key_of(each) == key for each in value)
        case Ordered(order=order, bound=bound):
            alike = isinstance(value, str) if isinstance(bound, str) else is_number(value)
            return alike and _COMPARE[order](value, bound)


def value_at(metadata: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field, or a value that equals nothing if there is none.

    A dot reaches into a nested object. A key may itself contain dots: at each level the longest key that leads to a
    value comes first. So ``a.b`` is the key ``a.b`` if there is one, and else the key ``b`` of the object ``a``.
    """
    if field in metadata:
        return metadata[field]
    dot = field.rfind(".")
    while dot >= 0:
        nested = metadata.get(field[:dot])
        if isinstance(nested, dict):
            found = value_at(nested, field[dot + 1 :])
            if found is not _MISSING:
                return found
        dot = field.rfind(".", 0, dot)
    return _MISSING


def is_number(value: object) -> bool:
    """Return whether a value is a number of JSON; a boolean is none."""
    return isinstance(value, Number) and not isinstance(value, bool)
