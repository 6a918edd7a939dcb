"""The sample corpus: the docstrings of the running interpreter's standard library.

Real text that every machine with Python has, in about 1,000 to 4,000 short documents. Modules written in Python are
parsed and not imported, since some modules do things at their import; the few written in C are imported.
"""

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tandem_contract.client_api import Metadata

Kind = Literal["module", "class", "function"]

# Nobody searches for these: tests, demonstrations, graphical programs, modules that newer versions dropped.
_LEFT_OUT = frozenset(
    {
        "antigravity",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "test",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
    }
)
_C_MODULES = (
    "array", "binascii", "builtins", "cmath", "errno", "fcntl", "gc", "grp", "itertools", "math", "mmap", "pwd",
    "resource", "select", "sys", "syslog", "time", "unicodedata", "zlib",
)  # fmt: skip
_MAX_CHARS = 1200
_MIN_CHARS = 20


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document that has an id; in JSON it is a document of an ingest."""

    id: str
    text: str
    metadata: Metadata = {}


def standard_library() -> list[Document]:
    """Return a document for every documented public module, class and function, by name; no two texts are equal.

    The id is the name. The text is the name, and below it the docstring. The metadata are ``module`` and ``kind``.
    """
    found: dict[str, Document] = {}
    for document in [*_from_sources(), *_from_c_modules()]:
        found.setdefault(document.text.partition("\n")[2], document)
    return sorted(found.values(), key=lambda document: document.id)


def describe_standard_library() -> str:
    """Return what ``standard_library`` is, for people."""
    return f"docstrings of Python {sys.version.split()[0]}'s standard library"


def _from_sources() -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT):
        if name.startswith("_"):
            continue
        if (root / f"{name}.py").is_file():
            yield from _from_file(root / f"{name}.py", name)
        elif (root / name).is_dir():
            for path in sorted((root / name).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                if any((part.startswith("_") and part != "__init__") or "test" in part for part in parts):
                    continue
                yield from _from_file(path, ".".join(part for part in parts if part != "__init__"))


def _from_file(path: Path, module: str) -> Iterator[Document]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError):  # a file that this interpreter cannot read is no loss
        return
    yield from _document(module, module, ast.get_docstring(tree), "module")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            kind: Kind = "class" if isinstance(node, ast.ClassDef) else "function"
            yield from _document(f"{module}.{node.name}", module, ast.get_docstring(node), kind)


def _from_c_modules() -> Iterator[Document]:
    for name in _C_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:  # some are of one operating system only
            continue
        yield from _document(name, name, inspect.getdoc(module), "module")
        for attribute, value in sorted(vars(module).items()):
            if attribute.startswith("_") or inspect.ismodule(value) or not callable(value):
                continue
            kind: Kind = "class" if inspect.isclass(value) else "function"
            yield from _document(f"{name}.{attribute}", name, inspect.getdoc(value), kind)


def _document(name: str, module: str, docstring: str | None, kind: Kind) -> Iterator[Document]:
    text = "\n".join(line.rstrip() for line in (docstring or "").replace("\x00", "").strip().splitlines())
    if len(text) >= _MIN_CHARS:
        yield Document(name, f"{name}\n{text[:_MAX_CHARS]}", {"module": module, "kind": kind})
