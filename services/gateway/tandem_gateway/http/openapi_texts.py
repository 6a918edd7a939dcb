"""The prose of the OpenAPI document: descriptions of fields from the contract's source, Markdown, response headers.

The contract documents a field by a string below it. Python drops these strings, so this module reads the source.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Final

import msgspec

from tandem_contract import headers

_CONTRACT: Final = "tandem_contract."
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


def describe_fields(schemas: Mapping[str, Any], kinds: Iterable[type[msgspec.Struct]]) -> None:
    """Add the contract's descriptions to the fields of the schemas; a description that is there stays.

    Args:
        schemas: name of the type → its schema.
        kinds: types whose modules are read; schemas of other modules stay as they are.
    """
    for module in {module for kind in kinds for module in _modules(kind)}:
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if name in schemas and issubclass(kind, msgspec.Struct):
                _describe(schemas[name].get("properties", {}), kind)


def _modules(kind: type) -> list[ModuleType]:
    """Return the contract's modules of a type and of its bases."""
    return [sys.modules[base.__module__] for base in kind.__mro__ if base.__module__.startswith(_CONTRACT)]


def _describe(properties: Mapping[str, Any], kind: type) -> None:
    for base, module in zip(kind.__mro__, _modules(kind), strict=False):  # the contract's come first
        for field, text in field_texts(module).get(base.__name__, {}).items():
            if field in properties:
                properties[field].setdefault("description", text)


@cache
def field_texts(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return class → field → the string below the field, on one line."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found.setdefault(node.name, {})
        for field, below in zip(node.body, node.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = " ".join(text.split())
    return found


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
