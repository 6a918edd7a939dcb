"""The JSON Schema of filters, for the OpenAPI document.

It is not recursive, because the page that shows the document cannot show recursive schemas. It has combinations inside
combinations, and a ``$not`` around operators, once; filters may be nested more deeply.
"""

from typing import Any, Final

from tandem_gateway.filters.parsing import MAX_CONDITIONS, MAX_DEPTH, MAX_FIELD_CHARS, MAX_LISTED

_SCALAR: Final = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]}
_FIELD: Final = "^[^$]|^$"
_FIELD_OR_COMBINATION: Final = r"^[^$]|^$|^\$(and|or|not)$"
_ORDERED: Final = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_SCALARS: Final = {"type": "array", "items": _SCALAR, "maxItems": MAX_LISTED}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


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
        made["properties"] = {"$and": parts, "$or": parts, "$not": _reference(combined)}
    return made


def _operators(title: str, negated: str | None) -> dict[str, Any]:
    """Return the schema of operators with a ``$not`` of the schema ``negated``; None for no ``$not``."""
    properties: dict[str, Any] = {
        **dict.fromkeys(("$eq", "$ne", "$contains"), _SCALAR),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _ORDERED),
        **dict.fromkeys(("$in", "$nin"), _SCALARS),
        "$exists": {"type": "boolean"},
    }
    if negated is not None:
        properties["$not"] = _reference(negated)
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
