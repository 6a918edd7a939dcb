"""FTS5 with Tandem's analysis: in a file of its own, as the gateway has it, and in the store's write transaction."""

# ruff: noqa: D102, S608  the interface documents the methods; statements are put together from constants

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gateway_bench.keyword.engine import Damaged, Unsupported
from gateway_bench.keyword.zipf import Row
from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.frequencies import TermFrequencies
from tandem_gateway.adapters.sqlite.lexical.tables import TOKENIZER
from tandem_gateway.adapters.sqlite.lexical.texts import columns
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.analysis.terms import query_terms
from tandem_gateway.records.texts import PassageText, RemovedPassage

_RANK = "bm25(1.0, 0.5)"
_PHRASE_WORDS = 8
_NEVER_LATE = bool
_MERGE_PAGES = 200


class _Searches:
    """What both variants answer through a connection to a file that has the table ``words_1``."""

    _first: int
    """Id in ``words_1`` of the document with the number 0."""
    _connection: sqlite3.Connection
    _frequencies: TermFrequencies
    _count: int

    def phrase(self, text: str, limit: int) -> list[int]:
        words = " ".join(term.exact for term in query_terms(text, _PHRASE_WORDS))
        return self._ranked(f'exact : "{words}"', limit)

    def prefix(self, text: str, limit: int) -> list[int]:
        return self._ranked(f'exact : "{text}" *', limit)

    def among(self, text: str, allowed: Sequence[int], limit: int) -> list[int]:
        ids = json.dumps(list(allowed))
        return self._ranked(
            self._any(text), limit, f"AND rowid - {self._first} IN (SELECT value FROM json_each(?))", ids
        )

    def frequency(self, word: str) -> int:
        self._connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.all_terms USING fts5vocab(main, words_1, col)"
        )
        row = self._connection.execute(
            "SELECT doc FROM temp.all_terms WHERE term = ? AND col = 'exact'", (word,)
        ).fetchone()
        return int(row[0]) if row else 0

    # Without the subtraction, SQLite would evaluate the whole expression once for each allowed row.

    def _any(self, text: str) -> str:
        terms = query.choose(self._frequencies.of_query(1, text, self._count), self._count)
        return query.expression(terms) if terms else '"no such word"'

    def _within(self, text: str, category: int, limit: int) -> list[int]:
        condition = f"AND rowid - {self._first} IN (SELECT row_id FROM documents WHERE category = ?)"
        return self._ranked(self._any(text), limit, condition, category)

    def _facets(self, text: str) -> dict[int, int]:
        statement = (
            f"SELECT category, count(*) FROM words_1 JOIN documents ON row_id = words_1.rowid - {self._first} "
            "WHERE words_1 MATCH ? GROUP BY category"
        )
        return dict(self._connection.execute(statement, (self._any(text),)))

    def _ranked(self, expression: str, limit: int, condition: str = "", *values: object) -> list[int]:
        statement = (
            f"SELECT rowid - {self._first} FROM words_1 WHERE words_1 MATCH ? AND rank MATCH ? {condition} "
            "ORDER BY rank, rowid LIMIT ?"
        )
        try:
            return [row for (row,) in self._connection.execute(statement, (expression, _RANK, *values, limit))]
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise Damaged(str(error)) from error


class Fts5File(_Searches):
    """The gateway's own keyword index, a file beside the store. A commit is not synced to disk."""

    _first = 1  # as the gateway's ids of passages

    def __init__(self, folder: Path) -> None:
        path = folder / "lexical.sqlite3"
        try:
            self._cache = LexicalCache(path, "bench", 1 << 40, 0)
            # A second connection, for the operations that the gateway does not have.
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA cache_size=-8000")
        except (CacheUnusable, sqlite3.DatabaseError) as error:
            raise Damaged(str(error)) from error
        self._frequencies = TermFrequencies(self._connection)
        self._count = self._cache.count(1)
        self._attached = False

    def add(self, rows: Sequence[Row]) -> None:
        """See ``Engine``; the document's category is in the store only."""
        passages = [PassageText(row.row_id + self._first, 1, row.text) for row in rows]
        self._cache.add(passages, max(row.row_id for row in rows) + self._first, 0)
        self._count = self._cache.count(1)

    def remove(self, row_ids: Sequence[int]) -> None:
        self._cache.remove(1, [RemovedPassage(row_id + self._first, 0) for row_id in row_ids], 1 << 40)
        self._count = self._cache.count(1)

    def search(self, text: str, limit: int) -> list[int]:
        try:
            return [
                row - self._first for row, _ in self._cache.searcher.search(1, parse(text), limit, _NEVER_LATE).rows
            ]
        except CacheUnusable as error:
            raise Damaged(str(error)) from error

    def attach(self, store: Path) -> None:
        """Open the store with the same documents too, for searches by metadata."""
        self._connection.execute("ATTACH ? AS store", (str(store),))
        self._attached = True

    def within(self, text: str, category: int, limit: int) -> list[int]:
        if not self._attached:
            raise Unsupported("the metadata are in another file")
        return self._within(text, category, limit)

    def facets(self, text: str) -> dict[int, int]:
        if not self._attached:
            raise Unsupported("the metadata are in another file")
        return self._facets(text)

    def wait(self) -> None:
        """Do nothing: SQLite merges in the transaction that adds documents."""

    def purge(self) -> None:
        while self._cache.removed(1) and self._cache.merge(1):
            pass

    def check(self) -> None:
        try:
            self._cache.check()
        except CacheUnusable as error:
            raise Damaged(str(error)) from error

    def close(self) -> None:
        self._connection.close()
        self._cache.close()


class Store:
    """Documents in a table, without a keyword index: the cost that the variant in the store adds to."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "store.sqlite3", isolation_level=None)
        execute = self._connection.execute
        try:
            for pragma in ("synchronous=FULL", "journal_mode=WAL", "secure_delete=ON", "cache_size=-8000"):
                execute(f"PRAGMA {pragma}")
            execute(
                "CREATE TABLE IF NOT EXISTS documents (row_id INTEGER PRIMARY KEY, category INTEGER NOT NULL, "
                "text TEXT NOT NULL) STRICT"
            )
            execute("CREATE INDEX IF NOT EXISTS documents_category ON documents (category)")
            self._open()
            (self._count,) = execute("SELECT count(*) FROM documents").fetchone()
        except sqlite3.DatabaseError as error:
            raise Damaged(str(error)) from error

    def _open(self) -> None:
        """Make further tables."""

    def add(self, rows: Sequence[Row]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
            self._index(rows)
        self._count += len(rows)

    def _index(self, rows: Sequence[Row]) -> None:
        """Index the rows, in the open transaction."""

    def wait(self) -> None:
        """Do nothing: SQLite merges in the transaction that adds documents."""

    def close(self) -> None:
        self._connection.close()


class Fts5Store(Store, _Searches):
    """FTS5 in the store: one transaction writes the document and its terms, synced to disk."""

    _first = 0

    def _open(self) -> None:
        self._connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS words_1 USING fts5(exact, stem, content='', tokenize=\"{TOKENIZER}\")"
        )
        self._frequencies = TermFrequencies(self._connection)

    def _index(self, rows: Sequence[Row]) -> None:
        self._connection.executemany(
            "INSERT INTO words_1 (rowid, exact, stem) VALUES (?, ?, ?)",
            ((row.row_id, *columns(row.text)) for row in rows),
        )

    def remove(self, row_ids: Sequence[int]) -> None:
        with self._connection:
            execute = self._connection.execute
            execute("BEGIN IMMEDIATE")
            for row_id in row_ids:
                (text,) = execute("DELETE FROM documents WHERE row_id = ? RETURNING text", (row_id,)).fetchall()[0]
                execute(
                    "INSERT INTO words_1 (words_1, rowid, exact, stem) VALUES ('delete', ?, ?, ?)",
                    (row_id, *columns(text)),
                )
        self._count -= len(row_ids)

    def search(self, text: str, limit: int) -> list[int]:
        try:
            return self._ranked(self._any(text), limit)
        except sqlite3.DatabaseError as error:
            raise Damaged(str(error)) from error

    def within(self, text: str, category: int, limit: int) -> list[int]:
        return self._within(text, category, limit)

    def facets(self, text: str) -> dict[int, int]:
        return self._facets(text)

    def purge(self) -> None:
        """Merge all segments into one."""
        pages = -_MERGE_PAGES
        while True:
            before = self._connection.total_changes
            self._connection.execute("INSERT INTO words_1 (words_1, rank) VALUES ('merge', ?)", (pages,))
            if self._connection.total_changes - before < 2:
                break
            pages = _MERGE_PAGES
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def check(self) -> None:
        try:
            found = [line for (line,) in self._connection.execute("PRAGMA integrity_check(3)") if line != "ok"]
            if found:
                raise Damaged("; ".join(found))
            self._connection.execute("INSERT INTO words_1 (words_1) VALUES ('integrity-check')")
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise Damaged(str(error)) from error
