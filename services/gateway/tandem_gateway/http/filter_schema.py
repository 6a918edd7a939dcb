"""The JSON Schema of filters, for the OpenAPI document.

It is not recursive, because the page that shows the document cannot show recursive schemas. It has combinations inside
combinations, and a ``$not`` around operators, once; filters may be nested more deeply.
"""

from collections.abc import Mapping
from typing import Any, Final

from tandem_gateway.filters.parsing import MAX_CONDITIONS, MAX_DEPTH, MAX_FIELD_CHARS, MAX_LISTED

_SCALAR: Final = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]}
_FIELD: Final = "^[^$]|^$"
_FIELD_OR_COMBINATION: Final = r"^[^$]|^$|^\$(and|or|not)$"
_ORDERED: Final = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_SCALARS: Final = {"type": "array", "items": _SCALAR, "maxItems": MAX_LISTED}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _described(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def _filter(title: str, combined: str | None) -> dict[str, Any]:
    """Return the schema of a filter whose combinations are of the schema ``combined``; None for no combinations."""
    made: dict[str, Any] = {
        "title": title,
        "type": "object",
        # Not patternProperties, which the page cannot show.
        "propertyNames": {
            "maxLength": MAX_FIELD_CHARS,
            "pattern": _FIELD if combined is None else _FIELD_OR_COMBINATION,
        },
        "additionalProperties": {"anyOf": [*_SCALAR["anyOf"], _reference("FilterOperators")]},
    }
    if combined is not None:
        parts = {"type": "array", "items": _reference(combined), "minItems": 1, "maxItems": MAX_CONDITIONS}
        made["properties"] = {
            "$and": _described(parts, "All of these filters match."),
            "$or": _described(parts, "At least one of these filters matches."),
            "$not": _described(_reference(combined), "This filter does not match."),
        }
    return made


def _operators(title: str, negated: str | None) -> dict[str, Any]:
    """Return the schema of operators with a ``$not`` of the schema ``negated``; None for no ``$not``."""
    properties: dict[str, Any] = {
        "$eq": _described(_SCALAR, "The field has this value."),
        "$ne": _described(_SCALAR, "The field has another value, or is missing."),
        "$contains": _described(_SCALAR, "The field is a list that has this value."),
        "$gt": _described(_ORDERED, "The field has a number, or a string, that comes after this one."),
        "$gte": _described(_ORDERED, "The field has this number or string, or one that comes after it."),
        "$lt": _described(_ORDERED, "The field has a number, or a string, that comes before this one."),
        "$lte": _described(_ORDERED, "The field has this number or string, or one that comes before it."),
        "$in": _described(_SCALARS, f"The field has one of these values, at most {MAX_LISTED}."),
        "$nin": _described(_SCALARS, f"The field has none of these values, at most {MAX_LISTED}, or is missing."),
        "$exists": _described({"type": "boolean"}, "Whether the field exists; null counts as a value."),
    }
    if negated is not None:
        properties["$not"] = _described(_reference(negated), "The field does not match these operators.")
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "additionalProperties": False,
    }


FILTER_SCHEMAS: Final[dict[str, Any]] = {
    "Filter": {
        **_filter("Filter", "FilterPart"),
        "description": "Conditions on metadata, which must all hold: field to value, or to an object of operators. A "
        f"dot reaches a nested field. At most {MAX_CONDITIONS} conditions, and {MAX_DEPTH} of $and, $or and $not "
        "inside each other.",
    },
    "FilterPart": _filter("FilterPart", "FilterConditions"),
    "FilterConditions": _filter("FilterConditions", None),
    "FilterOperators": _operators("FilterOperators", "NegatedOperators"),
    "NegatedOperators": _operators("NegatedOperators", None),
}
"""Name of the schema → schema."""
