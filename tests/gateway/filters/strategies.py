"""Random metadata and filters, and an independent reading of what a filter means."""

import json
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

# Few names and values, so that conditions often match; numbers that floats would confuse.
NAMES = ["a", "b", "a.b", "b.a", "a.b.a", ""]
NUMBERS = [0, 1, 1.0, 2, -1, 1.5, 0.1, 2**53, 2**53 + 1, float(2**53), 2**64, 10**25, 1e25]
STRINGS = ["", "a", "b", "1", "true", "2024-01-01", "2024-01-02", "é", "\U0001f600", "\ufffd"]
_scalars = st.sampled_from([*NUMBERS, *STRINGS, True, False, None])
_lists = st.lists(st.sampled_from([*NUMBERS, *STRINGS]), max_size=3)
_names = st.sampled_from(NAMES)


def _metadatas(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    values: st.SearchStrategy[Any] = _scalars | _lists
    if depth:
        values |= _metadatas(depth - 1)
    return st.dictionaries(_names, values, max_size=4)


METADATA = _metadatas(2)

_operators = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), _scalars),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.sampled_from([*NUMBERS, *STRINGS])),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(_scalars, max_size=4)),
    st.tuples(st.just("$exists"), st.booleans()),
)
_operator_objects = st.lists(_operators, min_size=1, max_size=2).map(dict)
_conditions = _scalars | _operator_objects | _operator_objects.map(lambda inner: {"$not": inner})
_leaves = st.dictionaries(_names, _conditions, max_size=2)
FILTERS = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=5,
)


def expected(condition: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Return whether a filter matches, read from its JSON directly."""
    for name, value in condition.items():
        if name == "$and":
            fits = all(expected(part, metadata) for part in value)
        elif name == "$or":
            fits = any(expected(part, metadata) for part in value)
        elif name == "$not":
            fits = not expected(value, metadata)
        else:
            fits = _field(_lookup(metadata, name), value)
        if not fits:
            return False
    return True


def _field(found: list[Any], condition: Any) -> bool:
    if not isinstance(condition, dict):
        condition = {"$eq": condition}
    return all(_one(found, operator, operand) for operator, operand in condition.items())


def _one(found: list[Any], operator: str, operand: Any) -> bool:
    if operator == "$not":
        return not _field(found, operand)
    if operator == "$exists":
        return bool(found) == operand
    if operator == "$ne":
        return not _one(found, "$eq", operand)
    if operator == "$nin":
        return not _one(found, "$in", operand)
    if not found:
        return False
    (value,) = found
    if operator == "$eq":
        return _same(value, operand)
    if operator == "$in":
        return any(_same(value, each) for each in operand)
    if operator == "$contains":
        return isinstance(value, list) and any(_same(each, operand) for each in value)
    if _kind(value) != _kind(operand):
        return False
    if isinstance(value, str):
        left: Any = [ord(character) for character in value]
        right: Any = [ord(character) for character in operand]
    else:
        left, right = Fraction(repr(value)), Fraction(repr(operand))
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]


def _kind(value: Any) -> str:
    return {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}.get(
        type(value), "other"
    )


def _same(value: Any, other: Any) -> bool:
    if _kind(value) != _kind(other) or _kind(value) == "other":
        return False
    return Fraction(repr(value)) == Fraction(repr(other)) if _kind(value) == "number" else value == other


def _lookup(metadata: Any, name: str) -> list[Any]:
    """Return the value of a field in a list, or an empty list: each way to split the name at dots, longest first."""
    if not isinstance(metadata, dict):
        return []
    pieces = name.split(".")
    for length in range(len(pieces), 0, -1):
        head, rest = ".".join(pieces[:length]), pieces[length:]
        if head in metadata:
            found = _lookup(metadata[head], ".".join(rest)) if rest else [metadata[head]]
            if found:
                return found
    return []


def as_json(value: Any) -> str:
    return json.dumps(value)
