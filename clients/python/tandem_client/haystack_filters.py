"""Turns Haystack's filters into Tandem's; needs no Haystack.

Strings are compared by code points, as Tandem does. So dates as ISO 8601 strings of one form are compared by time.
"""

from datetime import datetime
from typing import Any

from tandem_contract.client_api import Filter

_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_ATTRIBUTES = frozenset({"id", "content", "blob", "score", "embedding", "sparse_embedding"})


class InvalidFilter(ValueError):
    """The filter is not one of Haystack's, or Tandem has none like it."""


def to_filter(filters: dict[str, Any]) -> Filter:
    """Return Tandem's filter.

    Raises:
        InvalidFilter: see there.
    """
    if not isinstance(filters, dict):
        raise InvalidFilter(f"a filter is a dict, not a {type(filters).__name__}")
    if "field" in filters:
        return _comparison(filters)
    operator, conditions = _key(filters, "operator"), _key(filters, "conditions")
    if not isinstance(conditions, list):
        raise InvalidFilter(f"conditions: a list was expected, not {conditions!r:.100}")
    parts = [to_filter(condition) for condition in conditions]
    match operator:
        case "AND":
            return {"$and": parts} if parts else {}
        case "OR":
            return {"$or": parts} if parts else {"$not": {}}
        case "NOT":
            return {"$not": {"$and": parts} if parts else {}}
    raise InvalidFilter(f"operator: AND, OR or NOT was expected, not {operator!r:.100}")


def _comparison(filters: dict[str, Any]) -> Filter:
    field, operator, value = _field(filters["field"]), _key(filters, "operator"), _key(filters, "value")
    absent: Filter = {field: {"$exists": False}}
    present: Filter = {field: {"$exists": True}}
    if operator in _ORDER:
        return _ordered(field, operator, value)
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise InvalidFilter(f"{field}: {operator} needs a list, not {value!r:.100}")
        if operator == "in":
            return {"$or": [{field: {"$in": value}}, absent]} if None in value else {field: {"$in": value}}
        return {"$and": [{field: {"$nin": value}}, present]} if None in value else {field: {"$nin": value}}
    if isinstance(value, list | dict):
        raise InvalidFilter(f"{field}: {operator} compares no {type(value).__name__}")
    if operator == "==":
        return {"$or": [{field: None}, absent]} if value is None else {field: {"$eq": value}}
    if operator == "!=":
        return {"$and": [{field: {"$ne": None}}, present]} if value is None else {field: {"$ne": value}}
    raise InvalidFilter(f"{field}: unknown operator {operator!r:.100}")


def _ordered(field: str, operator: str, value: Any) -> Filter:
    if value is None:  # nothing comes before or after None
        return {"$and": [{field: {"$exists": True}}, {field: {"$exists": False}}]}
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise InvalidFilter(f"{field}: {operator} compares numbers and ISO dates, not {value!r:.100}") from None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidFilter(f"{field}: {operator} compares no {type(value).__name__}")
    return {field: {_ORDER[operator]: value}}


def _field(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidFilter(f"field: a name was expected, not {name!r:.100}")
    if name in _ATTRIBUTES:
        raise InvalidFilter(f"field: Tandem filters by fields of meta only, not by {name}")
    return name.removeprefix("meta.")


def _key(filters: dict[str, Any], name: str) -> Any:
    if name not in filters:
        raise InvalidFilter(f"the filter has no {name}: {filters!r:.200}")
    return filters[name]
