"""Reads queries with their judgements.

Two forms:

- Queries as JSON lines, ``{"id": "q1", "text": "a pet on a rug"}`` (``_id`` and ``query`` are accepted too, as BEIR and
  query logs have them), and a file of judgements, ``qrels``: of TREC with four columns (query, 0, document, grade), or
  of BEIR with three (query, document, grade) and a line of headings.
- A query log as JSON lines: ``{"query": "a pet on a rug", "clicked": ["mat"]}``. Each clicked document has the grade 1;
  ``"judgements": {"mat": 2, "tea": 0}`` gives grades instead.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem_cli.failures import UsageError

MAX_QUERIES = 100_000
MAX_LINE_CHARS = 1 << 20


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query, and the grade of each judged document; at least one is above 0."""

    id: str
    text: str
    judged: dict[str, int]


@dataclass(frozen=True, slots=True)
class Judged:
    """Queries, and the number of those that were left out, because no document is relevant to them."""

    queries: list[JudgedQuery]
    left_out: int


def read(queries: Path, qrels: Path | None) -> Judged:
    """Read queries with their judgements.

    Args:
        queries: queries if ``qrels`` is given, else a query log.
        qrels: judgements.

    Raises:
        UsageError: a file cannot be read or has a wrong line, or no query has a relevant document.
    """
    grades = None if qrels is None else read_qrels(qrels)
    found: list[JudgedQuery] = []
    seen: set[str] = set()
    left_out = 0
    for number, row in _json_lines(queries):
        place = f"{queries}: line {number}"
        query = _query(row, place, number, grades)
        if query.id in seen:
            raise UsageError(f"{place}: the id {query.id!r} is that of an earlier query")
        seen.add(query.id)
        if any(grade > 0 for grade in query.judged.values()):
            found.append(query)
        else:
            left_out += 1
        if len(found) > MAX_QUERIES:
            raise UsageError(f"{queries}: more than {MAX_QUERIES:,} queries")
    if not found:
        raise UsageError(f"{queries}: no query has a relevant document")
    return Judged(found, left_out)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query → document → grade.

    Raises:
        UsageError: the file cannot be read or has a wrong line.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) == 4:
            query, _, document, grade = cells
        elif len(cells) == 3:
            query, document, grade = cells
        else:
            raise UsageError(f"{path}: line {number}: query, 0, document and grade were expected")
        try:
            told = int(grade)
        except ValueError:
            if number == 1 and len(cells) == 3:  # the headings of BEIR's files
                continue
            raise UsageError(f"{path}: line {number}: a whole number was expected as grade, not {grade!r}") from None
        known = grades.setdefault(query, {}).setdefault(document, told)
        if known != told:
            raise UsageError(
                f"{path}: line {number}: the query {query!r} has the grade {known} for {document!r} already, not {told}"
            )
    return grades


def _query(row: Any, place: str, number: int, grades: dict[str, dict[str, int]] | None) -> JudgedQuery:
    if not isinstance(row, dict):
        raise UsageError(f"{place}: an object was expected")
    text = row.get("text", row.get("query"))
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: text: a text that is not empty was expected")
    given = row.get("id", row.get("_id"))
    if grades is not None:
        if not isinstance(given, str | int):
            raise UsageError(f"{place}: id: a text or a whole number was expected, which the judgements name")
        return JudgedQuery(str(given), text, grades.get(str(given), {}))
    key = str(number) if given is None else str(given)
    judged = row.get("judgements")
    if judged is None:
        clicked = row.get("clicked", [])
        if not isinstance(clicked, list) or not all(isinstance(item, str | int) for item in clicked):
            raise UsageError(f"{place}: clicked: a list of ids of documents was expected")
        return JudgedQuery(key, text, {str(item): 1 for item in clicked})
    if not isinstance(judged, dict) or not all(type(grade) is int for grade in judged.values()):
        raise UsageError(f"{place}: judgements: an object of ids and whole numbers was expected")
    return JudgedQuery(key, text, judged)


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in _lines(path):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: line {number}: JSON was expected: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARS + 1):
                number += 1
                if len(line) > MAX_LINE_CHARS:
                    raise UsageError(f"{path}: line {number} has more than {MAX_LINE_CHARS:,} characters")
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
