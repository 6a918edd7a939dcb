"""The documents that every architecture is given: a file, or the docstrings of the running standard library.

The default is real text that every machine with Python has. Sources are parsed, never imported.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_MIN_CHARS = 40
_MAX_CHARS = 1200
_LEFT_OUT = frozenset({"idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter", "turtledemo"})


class Document(msgspec.Struct, frozen=True):
    """What is ingested."""

    id: str
    text: str


def standard_library() -> list[Document]:
    """Return the documented public modules, classes, functions and methods, by name; texts are distinct."""
    found: dict[str, Document] = {}
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _LEFT_OUT.isdisjoint(parts) and not any(part.startswith("_") and part != "__init__" for part in parts):
            module = ".".join(part for part in parts if part != "__init__")
            for name, docstring in _docstrings(path, module):
                text = docstring.replace("\x00", "")[:_MAX_CHARS].strip()
                if len(text) >= _MIN_CHARS:
                    found.setdefault(text, Document(name, f"{name}\n{text}"))
    return sorted(found.values(), key=lambda document: document.id)


def describe_standard_library() -> str:
    """Return what ``standard_library`` is, for people."""
    return f"docstrings of Python {sys.version.split()[0]}'s standard library"


def read_jsonl(path: Path) -> list[Document]:
    """Return the documents of a file with one JSON object a line, ``{"id"?, "text"}``.

    Raises:
        ValueError: naming the line that is none.
        OSError: if it cannot be read.
    """
    documents = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            text = msgspec.json.decode(entry["text"], type=str)
            documents.append(Document(_id_of(entry, number), text))
        except (msgspec.MsgspecError, KeyError) as error:
            raise ValueError(f'{path}, line {number}: {{"id", "text"}} was expected ({error})') from error
    return documents


def digest(documents: Sequence[Document]) -> str:
    """Return the SHA-256 of the documents: equal digests were measured on equal texts."""
    return hashlib.sha256(msgspec.json.encode(documents)).hexdigest()


def _id_of(entry: dict[str, msgspec.Raw], number: int) -> str:
    for name in ("id", "_id"):
        if name in entry:
            return str(msgspec.json.decode(entry[name]))
    return str(number)


def _docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError):  # a file that this interpreter cannot read is no loss
        return
    yield module, ast.get_docstring(tree) or ""
    scopes: list[tuple[str, ast.Module | ast.ClassDef]] = [(module, tree)]
    while scopes:
        scope, node = scopes.pop()
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name[0] != "_":
                name = f"{scope}.{child.name}"
                yield name, ast.get_docstring(child) or ""
                if isinstance(child, ast.ClassDef):
                    scopes.append((name, child))
