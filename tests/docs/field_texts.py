"""Writes the descriptions of the API's fields for the OpenAPI document: ``python -m tests.docs.field_texts``.

The contract documents a field by a string below it. A gateway may be installed without source files, so that it cannot
read these strings itself.
"""

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import msgspec

import tandem_contract
from tandem_gateway.http import openapi_texts

TABLE = Path(openapi_texts.__file__).parent / "static" / "field_texts.json"


def field_texts(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return class → field → the string below the field, on one line, of the classes that a module defines."""
    classes = (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef))
    return {node.name: dict(_texts(node)) for node in classes}


def _texts(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())


def table() -> bytes:
    """Return the table as JSON: message → field → description; a message has the fields of its bases, too."""
    modules = [import_module(each.name) for each in pkgutil.walk_packages(tandem_contract.__path__, "tandem_contract.")]
    texts = {(module.__name__, name): fields for module in modules for name, fields in field_texts(module).items()}
    made: dict[str, dict[str, str]] = {}
    for module_name, name in texts:
        kind = getattr(import_module(module_name), name)
        if not issubclass(kind, msgspec.Struct) or name.startswith("Received"):  # the reader's views are in no document
            continue
        assert name not in made, f"two messages are named {name}"
        bases = [texts.get((base.__module__, base.__name__), {}) for base in reversed(kind.__mro__)]
        made[name] = {field: text for fields in bases for field, text in fields.items()}
    return msgspec.json.format(msgspec.json.encode({name: made[name] for name in sorted(made)}), indent=1) + b"\n"


if __name__ == "__main__":
    TABLE.write_bytes(table())
