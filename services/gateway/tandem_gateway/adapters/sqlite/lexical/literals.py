"""Finds the passages with a query's literals: its phrases, its prefixes and the words that it excludes."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tandem_gateway.adapters.sqlite.lexical.file import TOO_LATE
from tandem_gateway.adapters.sqlite.lexical.query import literal_expression
from tandem_gateway.analysis.query_syntax import Literal, ParsedQuery
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.arrays import Keys

# One row of SQLite has this many ids: fewer rows would hold the lock of Python for long, more would ask for it often.
_IDS_PER_ROW: Final = 20_000


@dataclass(frozen=True, slots=True)
class Constraint:
    """The passages that a query allows, as ascending ids."""

    required: Keys | None = None
    """The passages with all phrases; None without phrases."""
    excluded: Keys | None = None
    """Passages that are left out; None if nothing is excluded."""

    def kept(self, keys: Keys) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Return which of some passages are allowed, ``(n,) bool``."""
        kept = np.ones(len(keys), np.bool_)
        if self.required is not None:
            kept &= are_among(keys, self.required)
        if self.excluded is not None:
            kept &= ~are_among(keys, self.excluded)
        return kept


def constraint(
    connection: sqlite3.Connection, collection_id: int, parsed: ParsedQuery, out_of_time: Callable[[], bool]
) -> Constraint:
    """Return the constraint of a query; the file must have the collection. Errors of SQLite pass through.

    Raises:
        DeadlineExceeded: if ``out_of_time`` returns true.
    """
    required: Keys | None = None
    for phrase in parsed.phrases:
        _check(out_of_time)
        found = passages(connection, collection_id, phrase)
        required = found if required is None else np.intersect1d(required, found, assume_unique=True)
        if not len(required):
            return Constraint(required)
    excluded: list[Keys] = []
    for literal in parsed.excluded:
        _check(out_of_time)
        excluded.append(passages(connection, collection_id, literal))
    return Constraint(required, np.unique(np.concatenate(excluded)) if excluded else None)


def counts(
    connection: sqlite3.Connection, collection_id: int, literals: Iterable[Literal], out_of_time: Callable[[], bool]
) -> list[tuple[Literal, int]]:
    """Return how many passages have each literal; raises as ``constraint``."""
    counted: list[tuple[Literal, int]] = []
    for literal in literals:
        _check(out_of_time)
        (count,) = connection.execute(
            f"SELECT count(*) FROM words_{collection_id} WHERE words_{collection_id} MATCH ?",
            (literal_expression(literal),),
        ).fetchone()
        counted.append((literal, int(count)))
    return counted


def passages(connection: sqlite3.Connection, collection_id: int, literal: Literal) -> Keys:
    """Return the passages with a literal, ascending, ``(n,) uint64``."""
    return _ids(
        connection,
        f"SELECT rowid AS id FROM words_{collection_id} WHERE words_{collection_id} MATCH ? ORDER BY rowid",
        literal_expression(literal),
    )


def all_passages(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return all passages of a collection, ascending, ``(n,) uint64``."""
    return _ids(connection, f"SELECT id FROM words_{collection_id}_docsize ORDER BY id")


def are_among(keys: Keys, others: Keys) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return which keys are among others, which are ascending, ``(n,) bool``."""
    if not len(others):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = others[places] == keys
    return found


def _ids(connection: sqlite3.Connection, select: str, *parameters: str) -> Keys:
    """Return the column ``id`` of a query, many ids to a row; see ``LexicalCache.search``."""
    rows = connection.execute(
        f"SELECT group_concat(id) FROM (SELECT id, row_number() OVER () / {_IDS_PER_ROW} AS part FROM ({select})) "
        "GROUP BY part ORDER BY part",
        parameters,
    )
    parts = [np.array(ids.split(","), np.uint64) for (ids,) in rows]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _check(out_of_time: Callable[[], bool]) -> None:
    if out_of_time():
        raise DeadlineExceeded(TOO_LATE)
