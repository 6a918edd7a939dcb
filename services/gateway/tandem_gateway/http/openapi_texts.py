"""The prose of the OpenAPI document: descriptions of fields, Markdown, response headers.

The contract documents a field by a string below it. Python drops these strings, so ``python -m tests.docs.field_texts``
writes them to ``static/field_texts.json``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tandem_contract import headers

_TEXTS: Final = Path(__file__).parent / "static" / "field_texts.json"
"""Class → field → description."""
_OVERLOADED: Final = ("429", "503")
"""Statuses of errors that say when to try again."""
_VECTOR_ROUTES: Final = ("/v1/embeddings", "/openai/", "/api/embed", "/embed")
"""Beginnings of the paths whose replies count the texts that were cut."""
_VERBATIM: Final = frozenset({"example", "examples", "default", "enum", "const", "pattern"})

RESPONSE_HEADERS: Final[dict[str, Any]] = {
    headers.REQUEST_ID: {
        "description": "The request's own id if it is well formed, else a new one; the logs have it, too.",
        "schema": {"type": "string"},
    },
    "retry-after": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 120},
    },
    headers.TRUNCATED_INPUTS: {
        "description": "Number of texts that were cut at the model's limit; absent if there are none.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
"""Name of the header → the header, for the document's components."""


def describe_fields(schemas: Mapping[str, Any]) -> None:
    """Add the contract's descriptions to the fields of the schemas; a description that is there stays.

    Args:
        schemas: name of the type → its schema.
    """
    texts = msgspec.json.decode(_TEXTS.read_bytes(), type=dict[str, dict[str, str]])
    for kind in texts.keys() & schemas.keys():
        properties = schemas[kind].get("properties", {})
        for field in texts[kind].keys() & properties.keys():
            # A copy: fields with the same rules have one schema, also in the next document of the process.
            properties[field] = {"description": texts[kind][field], **properties[field]}


def to_markdown(value: Any) -> None:
    """Replace the double backticks of docstrings by Markdown's, in every description and summary."""
    if isinstance(value, list):
        for each in value:
            to_markdown(each)
    if not isinstance(value, dict):
        return
    for key, each in value.items():
        if key in ("description", "summary") and isinstance(each, str):
            value[key] = each.replace("``", "`")
        elif key not in _VERBATIM or key == "default":  # a response may be named so, and a text has no keys
            to_markdown(each)


def add_response_headers(path: str, operation: dict[str, Any]) -> None:
    """Add the headers that the replies of an operation can have."""
    for status, response in operation["responses"].items():
        names = [headers.REQUEST_ID]
        if status in _OVERLOADED:
            names.append("retry-after")
        if status == "200" and path.startswith(_VECTOR_ROUTES):
            names.append(headers.TRUNCATED_INPUTS)
        response["headers"] = {
            **(response.get("headers") or {}),
            **{name: {"$ref": f"#/components/headers/{name}"} for name in names},
        }
