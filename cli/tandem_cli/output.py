"""Prints results: tables for people, JSON for programs."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tandem_cli.terminal import output_console

Cell = str | int | float | bool | None | Text
_PLAIN_WIDTH = 240
_MOVING = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Controls of terminals, and controls of the direction of writing, which show other text than there is."""


def print_json(value: Any) -> None:
    """Print a value as one indented JSON document, with a line feed."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    # JSON escapes ASCII controls alone. The others are in strings only, where an escape says the same.
    print(_MOVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
    """Print rows as a table on a terminal, and with tabs between the cells elsewhere.

    Args:
        columns: headings, shown as cells are.
        rows: as many cells each as there are columns. Control characters are shown as escapes.
        empty: printed if there are no rows.
    """
    rows = list(rows)
    console = output_console()
    if not rows:
        console.print(escape(empty))
        return
    if not console.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(shown(cell) for cell in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        table.add_column(Text(shown(column)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row))
    console.print(table)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with the noun that fits it; the plural is ``many``, or ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def print_fields(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print names and values, one pair a line."""
    pairs = [(printable(name), value) for name, value in fields]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {shown(value)}")


def shown(cell: Cell) -> str:
    """Return a cell as text: numbers with thousands separated, nothing for None, no control character as it is.

    Control characters of a stored text could move the cursor of the terminal or change its title.
    """
    if isinstance(cell, Text):
        return printable(cell.plain)
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return printable(cell)


def printable(text: str) -> str:
    """Return a text on one line, with control characters as escapes."""
    return _escaped(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """Return a text with its lines and tabs, and with other control characters as escapes."""
    return "".join(c if c in "\n\t" else _escaped(c) for c in text.replace("\r\n", "\n"))


def _escaped(text: str) -> str:
    return "".join(
        c if not _is_control(c) else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text
    )


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or _MOVING.match(character) is not None


def size(count: int | None) -> str | None:
    """Return a number of bytes with a unit, such as ``1.5 MiB``."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def highlighted(text: str, spans: Sequence[tuple[int, int]], limit: int) -> Text:
    """Return a text of at most ``limit`` characters with the spans marked.

    Args:
        text: may have line ends, which become spaces.
        spans: start and end of each marked part, in code points of ``text``, ascending.
        limit: the excerpt begins shortly before the first span, if the text is longer.
    """
    start = 0
    if len(text) > limit and spans:
        start = max(0, min(spans[0][0] - limit // 4, len(text) - limit))
    cut = text[start : start + limit]
    flat, places = _one_line(cut)
    excerpt = Text(flat)
    for begin, end in spans:
        if end > start and begin < start + len(cut):
            excerpt.stylize("bold yellow", places[max(0, begin - start)], places[min(len(cut), end - start)])
    if start:
        excerpt = Text("…").append_text(excerpt)
    if start + len(cut) < len(text):
        excerpt.append("…")
    return excerpt


def _one_line(text: str) -> tuple[str, list[int]]:
    """Return a text with a space for each run of white space and control characters, and each old offset's new one."""
    flat: list[str] = []
    places = []
    for character in text:
        places.append(len(flat))
        if not (character.isspace() or _is_control(character)):
            flat.append(character)
        elif flat and flat[-1] != " ":
            flat.append(" ")
    return "".join(flat), [*places, len(flat)]


def excerpt_width() -> int:
    """Return how many characters of a text are shown."""
    console = output_console()
    return max(60, console.width * 2) if console.is_terminal else _PLAIN_WIDTH
