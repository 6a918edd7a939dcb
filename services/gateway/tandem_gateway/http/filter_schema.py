"""The JSON Schema of filters, for the OpenAPI document."""

from typing import Any, Final

from tandem_gateway.filters.parsing import MAX_CONDITIONS, MAX_DEPTH, MAX_FIELD_CHARS, MAX_LISTED

_SCALAR: Final = {"type": ["string", "number", "boolean", "null"]}
_ORDERED: Final = {"type": ["string", "number"]}
_SCALARS: Final = {"type": "array", "items": _SCALAR}
_FILTER: Final = {"$ref": "#/components/schemas/Filter"}
_OPERATORS: Final = {"$ref": "#/components/schemas/FilterOperators"}
_PARTS: Final = {"type": "array", "items": _FILTER, "minItems": 1, "maxItems": MAX_CONDITIONS}

FILTER_SCHEMAS: Final[dict[str, Any]] = {
    "Filter": {
        "title": "Filter",
        "description": "Conditions on metadata, which must all hold: field to value, or to an object of operators. A "
        f"dot reaches a nested field. At most {MAX_CONDITIONS} conditions, and {MAX_DEPTH} of $and, $or and $not "
        f"inside each other. A list has at most {MAX_LISTED} values.",
        "type": "object",
        "properties": {"$and": _PARTS, "$or": _PARTS, "$not": _FILTER},
        "patternProperties": {"^[^$]|^$": {"anyOf": [_SCALAR, _OPERATORS]}},
        "propertyNames": {"maxLength": MAX_FIELD_CHARS},
        "additionalProperties": False,
    },
    "FilterOperators": {
        "title": "FilterOperators",
        "type": "object",
        "properties": {
            **dict.fromkeys(("$eq", "$ne", "$contains"), _SCALAR),
            **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _ORDERED),
            **dict.fromkeys(("$in", "$nin"), _SCALARS),
            "$exists": {"type": "boolean"},
            "$not": _OPERATORS,
        },
        "minProperties": 1,
        "additionalProperties": False,
    },
}
"""Name of the schema → schema."""
