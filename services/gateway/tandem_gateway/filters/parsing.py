"""Makes a filter's tree from JSON. Each error names the place, such as ``filter.year.$gte``, and the limit."""

from decimal import Decimal
from typing import Any, Final, NoReturn, cast

from tandem_contract.decoding import cut
from tandem_contract.errors import ErrorCode
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.matching import is_number
from tandem_gateway.filters.tree import (
    Both,
    Contains,
    Either,
    Equals,
    Exists,
    Filter,
    Key,
    Leaf,
    Not,
    Number,
    Ordered,
    key_of,
)

MAX_BYTES: Final = 16_384
"""Maximum size of a filter as JSON."""
MAX_DEPTH: Final = 10
"""Maximum number of ``$and``, ``$or`` and ``$not`` inside each other."""
MAX_CONDITIONS: Final = 100
"""Maximum number of operators on fields, and of parts of one ``$and`` or ``$or``."""
MAX_LISTED: Final = 1000
"""Maximum number of values of ``$in`` or ``$nin``."""
MAX_FIELD_CHARS: Final = 512
"""Maximum length of a field's name with its dots."""

OPERATORS: Final = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$contains", "$not",
)  # fmt: skip
"""Operators on a field."""
COMBINATIONS: Final = ("$and", "$or", "$not")
"""Operators on whole filters."""

_SCALAR: Final = "a string, number, boolean or null"
# Beyond the largest double, a number in metadata is refused as well.
_MAX_EXPONENT: Final = 308


def parse_filter(given: Any, at: str = "filter") -> Filter:
    """Return the tree of a filter.

    Args:
        given: the decoded JSON; numbers are integers and decimals.
        at: path of the filter in the request.

    Raises:
        InvalidRequest: it is not a filter, or is over a limit; the error names the place.
    """
    return _Parser(at).filter(given, at, MAX_DEPTH)


def _refuse(place: str, expected: str, code: ErrorCode = "invalid_field") -> NoReturn:
    raise InvalidRequest(f"{place}: {expected}", param=place, code=code)


class _Parser:
    """Parses one filter, and counts its conditions."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._conditions = 0

    def filter(self, given: Any, place: str, depth: int) -> Filter:
        """Return the tree of an object of fields and combinations, which must all hold."""
        if not isinstance(given, dict):
            _refuse(place, "an object of fields and conditions was expected")
        parts: list[Filter] = []
        for name, value in given.items():
            here = f"{place}.{cut(name)}"
            if name in COMBINATIONS:
                parts.append(self._combination(name, value, here, depth))
            elif name.startswith("$"):
                words = ", ".join(COMBINATIONS)
                _refuse(here, f"one of {words} or a field was expected; operators belong to a field", "unknown_field")
            else:
                parts.append(self._field(name, value, here, depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _combination(self, name: str, value: Any, place: str, depth: int) -> Filter:
        self._check_depth(place, depth)
        if name == "$not":
            return Not(self.filter(value, place, depth - 1))
        if not isinstance(value, list) or not value:
            _refuse(place, "a list of at least one filter was expected")
        _check_length(value, place, MAX_CONDITIONS)
        parts = tuple(self.filter(part, f"{place}[{index}]", depth - 1) for index, part in enumerate(value))
        return Both(parts) if name == "$and" else Either(parts)

    def _field(self, name: str, value: Any, place: str, depth: int) -> Filter:
        if len(name) > MAX_FIELD_CHARS:
            _refuse(place, f"at most {MAX_FIELD_CHARS} characters are allowed, not {len(name)}", "limit_exceeded")
        if isinstance(value, list):
            _refuse(place, f"{_SCALAR} or an object of operators was expected; $in takes a list")
        if not isinstance(value, dict):
            return self._condition(name, "$eq", value, place, depth)
        if not value:
            _refuse(place, f"an object with at least one operator was expected: {', '.join(OPERATORS)}")
        parts = tuple(
            self._condition(name, operator, operand, f"{place}.{cut(operator)}", depth)
            for operator, operand in value.items()
        )
        return parts[0] if len(parts) == 1 else Both(parts)

    def _condition(self, field: str, operator: str, operand: Any, place: str, depth: int) -> Filter:
        if operator == "$not":
            self._check_depth(place, depth)
            if not isinstance(operand, dict):
                _refuse(place, "an object of operators was expected")
            return Not(self._field(field, operand, place, depth - 1))
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            _refuse(self._at, f"at most {MAX_CONDITIONS} conditions are allowed, and there are more", "limit_exceeded")
        leaf = _leaf(field, operator, operand, place)
        return Not(leaf) if operator in ("$ne", "$nin") or (operator == "$exists" and not operand) else leaf

    def _check_depth(self, place: str, depth: int) -> None:
        if depth == 0:
            _refuse(place, f"at most {MAX_DEPTH} of $and, $or and $not may be inside each other", "limit_exceeded")


def _leaf(field: str, operator: str, operand: Any, place: str) -> Leaf:
    """Return the leaf of an operator or, if that is negative, of the operator that it negates."""
    match operator:
        case "$eq" | "$ne":
            return Equals(field, frozenset([_scalar(operand, place)]))
        case "$in" | "$nin":
            return Equals(field, _scalars(operand, place))
        case "$contains":
            return Contains(field, _scalar(operand, place))
        case "$gt" | "$gte" | "$lt" | "$lte":
            return Ordered(field, operator, _bound(operand, place))
        case "$exists":
            if not isinstance(operand, bool):
                _refuse(place, "true or false was expected")
            return Exists(field)
    nested = '; a dot reaches a nested field, as in "a.b"' if not operator.startswith("$") else ""
    _refuse(place, f"one of {', '.join(OPERATORS)} was expected{nested}", "unknown_field")


def _scalar(value: Any, place: str) -> Key:
    key = key_of(value)
    if key is None:
        _refuse(place, f"{_SCALAR} was expected")
    _check_range(value, place)
    return key


def _scalars(values: Any, place: str) -> frozenset[Key]:
    if not isinstance(values, list):
        _refuse(place, "a list was expected")
    _check_length(values, place, MAX_LISTED)
    return frozenset(_scalar(value, f"{place}[{index}]") for index, value in enumerate(values))


def _bound(value: Any, place: str) -> str | Number:
    if not isinstance(value, str) and not is_number(value):
        _refuse(place, "a number or a string was expected")
    _check_range(value, place)
    return cast(str | Number, value)


def _check_range(value: Any, place: str) -> None:
    if isinstance(value, Decimal) and value and value.adjusted() > _MAX_EXPONENT:
        _refuse(place, "the number is out of range")


def _check_length(values: list[Any], place: str, most: int) -> None:
    if len(values) > most:
        _refuse(place, f"at most {most} values are allowed, not {len(values)}", "limit_exceeded")
