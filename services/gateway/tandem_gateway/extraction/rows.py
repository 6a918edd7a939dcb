"""CSV and JSON lines: a document for each row."""

import csv as standard_csv
import io
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tandem_gateway.extraction.decoding import decoded
from tandem_gateway.extraction.pieces import Piece, Unreadable

_TEXT: Final = "text"
_ID: Final = "id"
_METADATA: Final = "metadata"
_FORMAT: Final = "format"
_DELIMITERS: Final = (",", ";", "\t")
_FORMATS: Final = ("text", "markdown")
_SHOWN_COLUMNS: Final = 20
_MOST_FIELD_CHARS: Final = 1 << 30  # the process's own limits are lower

_row = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_row_id = msgspec.json.Decoder(str | int | None)


def csv(content: bytes) -> Iterator[Piece]:
    """Return the documents of a table whose first row names the columns.

    The column ``text`` is required, ``id`` is optional, and the others become metadata, without empty cells. Commas,
    semicolons or tabs separate the columns.

    Raises:
        Unreadable: the file is no such table; names the row and the column.
    """
    standard_csv.field_size_limit(_MOST_FIELD_CHARS)
    found = decoded(content)
    delimiter = _delimiter(found)
    reader = standard_csv.reader(io.StringIO(found, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        columns = [name.strip() for name in next(reader)]
        for name in columns:
            if columns.count(name) > 1 or not name:
                raise Unreadable(
                    f"needs a different name for each column; {name!r} is there more than once or is empty"
                )
        for cells in reader:
            if not any(cells):
                continue
            number += 1
            if len(cells) != len(columns):
                raise Unreadable(f"row {number} has {len(cells)} columns, and the first row names {len(columns)}")
            row = dict(zip(columns, cells, strict=True))
            text, row_id = row.pop(_TEXT), row.pop(_ID, None)
            metadata = {name: cell for name, cell in row.items() if cell}
            yield Piece(text, number, row_id or None, metadata)
    except standard_csv.Error as error:
        raise Unreadable(f"row {number + 1} cannot be read as CSV: {error}") from None
    if not number:
        raise Unreadable("has no row after the names of the columns")


def _delimiter(table: str) -> str:
    """Return the first delimiter with which the first row has a column ``text``."""
    for delimiter in _DELIMITERS:
        try:
            names = next(standard_csv.reader(io.StringIO(table, newline=""), delimiter=delimiter, strict=True))
        except (StopIteration, standard_csv.Error):
            continue
        if _TEXT in [name.strip() for name in names]:
            return delimiter
    try:
        names = next(standard_csv.reader(io.StringIO(table, newline="")))
    except (StopIteration, standard_csv.Error):
        names = []
    shown = ", ".join(names[:_SHOWN_COLUMNS]) or "none"
    raise Unreadable(f"a column 'text' is missing; the first row has to name the columns, and it names: {shown}")


def jsonl(content: bytes) -> Iterator[Piece]:
    """Return the documents of JSON lines: ``text``, and optional ``id``, ``metadata`` and ``format``.

    Other fields become metadata too. Numbers keep all their digits.

    Raises:
        Unreadable: a line is no such object; names the row and the field.
    """
    number = 0
    for line in decoded(content).split("\n"):
        if not line or line.isspace():
            continue
        number += 1
        try:
            yield _piece(_row.decode(line), number)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Unreadable(f"row {number} is not a JSON object as expected: {error}") from None
    if not number:
        raise Unreadable("has no row")


def _piece(row: dict[str, msgspec.Raw], number: int) -> Piece:
    if _TEXT not in row:
        shown = ", ".join(list(row)[:_SHOWN_COLUMNS]) or "none"
        raise Unreadable(f"row {number}: the field 'text' is missing; its fields are: {shown}")
    text = _read(row.pop(_TEXT), _text, f"row {number}: text")
    row_id = _read(row.pop(_ID, msgspec.Raw(b"null")), _row_id, f"row {number}: id")
    metadata: dict[str, Any] = {}
    # As in an ingest of JSON lines, unless it is no object: then it is a field like others.
    if bytes(row.get(_METADATA, b"")).lstrip().startswith(b"{"):
        metadata.update(_read(row.pop(_METADATA), _row, f"row {number}: metadata"))
    text_format = "text"
    if _FORMAT in row:
        text_format = _read(row.pop(_FORMAT), _text, f"row {number}: format")
        if text_format not in _FORMATS:
            raise Unreadable(f"row {number}: format: text or markdown was expected, not {text_format[:50]!r}")
    for name, value in row.items():
        if name in metadata:
            raise Unreadable(f"row {number}: {name!r} is a field of the row and of its metadata")
        metadata[name] = value
    row_id = None if row_id is None else str(row_id)
    return Piece(text, number, row_id, metadata, "markdown" if text_format == "markdown" else "text")


def _read(raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any], place: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        said = str(error)
        raise Unreadable(f"{place}: {said[:1].lower()}{said[1:]}") from None
