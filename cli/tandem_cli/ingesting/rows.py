"""Documents in rows: JSON lines, JSON and CSV.

The rules are those of the gateway's route for files: fields of a row that a document does not have go into its
metadata, empty cells of CSV are left out, and a row without an id gets the name of its file and its number.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal

from tandem_cli.failures import UsageError

Format = Literal["jsonl", "json", "csv"]
SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv"}
"""End of a name → format of the rows."""

MAX_LINE_BYTES = 16 << 20
"""The gateway's limit on a request."""
MAX_JSON_BYTES = 256 << 20
"""JSON that is no lines is read as a whole."""

_FIELDS = frozenset({"id", "text", "metadata", "format", "source", "hash"})


def rows(
    stream: BinaryIO, kind: Format, name: str | None, skip: Callable[[str], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the documents of a stream, one at a time.

    Args:
        stream: UTF-8, with a byte order mark or without.
        kind: format of the rows.
        name: for messages, and for the ids of rows without one; None leaves these ids to the gateway.
        skip: gets the message about a row that is no document, and the rows after it follow; None to raise it.

    Raises:
        UsageError: a row is no document and ``skip`` is None, or nothing after a place can be read; the message has its
            line or number.
    """
    said = name or "standard input"
    read = {"jsonl": _json_lines, "json": _json, "csv": _csv}[kind]
    for number, (place, row) in enumerate(read(stream, said), 1):
        at = f"{said}: {place}"
        try:
            value = _decoded(row, at) if kind == "jsonl" else row
            found = document(value, at, None if name is None else f"{name}#{number}")
        except UsageError as error:
            if skip is None:
                raise
            skip(str(error))
        else:
            yield found


def document(row: Any, place: str, id_if_missing: str | None = None) -> dict[str, Any]:
    """Return a row as a document of an ingest.

    Raises:
        UsageError: it is no object or text.
    """
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, dict):
        raise UsageError(f"{place}: an object with a field text was expected")
    given = {field: value for field, value in row.items() if field in _FIELDS and value is not None}
    metadata = given.get("metadata", {})
    if not isinstance(metadata, dict):
        raise UsageError(f"{place}: metadata: an object was expected")
    others = {field: value for field, value in row.items() if field not in _FIELDS}
    if metadata or others:
        given["metadata"] = {**metadata, **others}
    if "id" not in given and id_if_missing is not None:
        given["id"] = id_if_missing
    return given


def _json_lines(stream: BinaryIO, said: str) -> Iterator[tuple[str, bytes]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise UsageError(f"{said}: line {number} has more than {MAX_LINE_BYTES} bytes")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield f"line {number}", line


def _json(stream: BinaryIO, said: str) -> Iterator[tuple[str, Any]]:
    content = stream.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise UsageError(
            f"{said}: more than {MAX_JSON_BYTES} bytes of JSON; give JSON lines, which are read one by one"
        )
    value = _decoded(content.removeprefix(b"\xef\xbb\xbf"), said)
    if isinstance(value, dict) and isinstance(value.get("documents"), list):
        value = value["documents"]
    for index, row in enumerate(value if isinstance(value, list) else [value]):
        yield f"document {index}", row


def _csv(stream: BinaryIO, said: str) -> Iterator[tuple[str, Any]]:
    # newline="" lets the csv module see line ends inside quotes.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        first = text.readline(MAX_LINE_BYTES)
        names, delimiter = _columns(first, said)
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        for cells in reader:
            place = f"line {reader.line_num + 1}"
            if len(cells) != len(names) and any(cells):
                more = "more" if len(cells) > len(names) else "fewer"
                raise UsageError(f"{said}: {place} has {more} cells than the first line")
            if any(cells):
                yield place, {field: value for field, value in zip(names, cells, strict=True) if value}
    except UnicodeDecodeError as error:
        raise UsageError(f"{said}: UTF-8 was expected: {error}") from error
    except csv.Error as error:
        raise UsageError(f"{said}: {error}") from error
    finally:
        text.detach()


def _columns(first: str, said: str) -> tuple[list[str], str]:
    """Return the names of the columns, and the first delimiter with which there is a column ``text``."""
    for delimiter in ",;\t":
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        if "text" not in names:
            continue
        for name in names:
            if not name or names.count(name) > 1:
                raise UsageError(
                    f"{said}: each column needs a different name; {name!r} is there more than once or is empty"
                )
        return names, delimiter
    names = next(csv.reader([first]), [])
    raise UsageError(f"{said}: a column text was expected in the first line; it has {', '.join(names) or 'none'}")


def _decoded(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: JSON was expected: {error}") from error
