"""The languages of the stems in the keyword index's file, and the change of a collection from one to another.

A change fills a second FTS5 table from the texts in the file, a page at a time. It then takes the place of the first,
in the transaction of its last page. Until then searches read the first table, which has every passage.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from tandem_gateway.adapters.sqlite.lexical import tables
from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.tables import Execute
from tandem_gateway.adapters.sqlite.lexical.texts import columns, decompressed
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.terms import LANGUAGES


class _State(NamedTuple):
    language: str = DEFAULT_LANGUAGE
    next_language: str | None = None
    next_row: int = 0
    """The second table has the passages up to this id."""


class Languages:
    """The languages of the collections in an open file. ``read`` follows each transaction that changed some."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read them; errors of SQLite pass through.

        Raises:
            CacheUnusable: a language has no stemmer in this release.
        """
        self._connection = connection
        self._states: dict[int, _State] = {}
        self.read()
        for state in self._states.values():
            for language in (state.language, state.next_language or DEFAULT_LANGUAGE):
                if language not in LANGUAGES:
                    raise CacheUnusable(f"its stems are of a language without a stemmer: {language[:40]!r}")

    def read(self) -> None:
        """Read the languages again."""
        rows = self._connection.execute("SELECT collection_id, language, next_language, next_row FROM languages")
        self._states = {collection_id: _State(*state) for collection_id, *state in rows}

    def of(self, collection_id: int) -> str:
        """Return the language in which a collection is searched."""
        return self._state(collection_id).language

    def next_of(self, collection_id: int) -> str | None:
        """Return the language to which a collection changes; None if it does not change."""
        return self._state(collection_id).next_language

    def begin(self, execute: Execute, collection_id: int, language: str) -> None:
        """Record the language of a collection that is new in the file."""
        execute("DELETE FROM languages WHERE collection_id = ?", (collection_id,))
        if language != DEFAULT_LANGUAGE:
            execute("INSERT INTO languages (collection_id, language) VALUES (?, ?)", (collection_id, language))

    def drop(self, execute: Execute, collection_id: int) -> None:
        """Forget a collection, whose other tables the caller drops."""
        self._abandon(execute, collection_id)
        execute("DELETE FROM languages WHERE collection_id = ?", (collection_id,))

    def remove(self, execute: Execute, collection_id: int, passage_id: int, text: str) -> None:
        """Remove a passage from the second table, if it is there."""
        state = self._state(collection_id)
        if state.next_language is not None and passage_id <= state.next_row:
            tables.remove_words(execute, f"words_{collection_id}_next", passage_id, text, state.next_language)

    def advance(self, execute: Execute, collection_id: int, language: str, max_rows: int, max_chars: int) -> bool:
        """Add a page of passages to the second table; return whether the collection has the language now.

        Args:
            execute: runs a statement in a transaction.
            collection_id: of a collection in the file.
            language: the language that it is to have.
            max_rows: maximum number of passages.
            max_chars: the page ends with the text that brings it to this many characters.
        """
        state = self._state(collection_id)
        if state.next_language != language:
            self._abandon(execute, collection_id)
            if state.language == language:
                execute("UPDATE languages SET next_language = NULL WHERE collection_id = ?", (collection_id,))
                return True
            tables.create_words(execute, f"words_{collection_id}_next")
            state = _State(state.language, language)
        rows = execute(
            f"SELECT row_id, text FROM texts_{collection_id} WHERE row_id > ? ORDER BY row_id LIMIT ?",
            (state.next_row, max_rows),
        ).fetchall()
        last, chars, added = state.next_row, 0, 0
        for passage_id, content in rows:
            text = decompressed(content)
            execute(
                f"INSERT INTO words_{collection_id}_next (rowid, exact, stem) VALUES (?, ?, ?)",
                (passage_id, *columns(text, language)),
            )
            last, chars, added = passage_id, chars + len(text), added + 1
            if chars >= max_chars:
                break
        whole = added == len(rows) < max_rows
        if whole:
            execute(f"DROP TABLE words_{collection_id}")
            execute(f"ALTER TABLE words_{collection_id}_next RENAME TO words_{collection_id}")
        execute(
            "INSERT OR REPLACE INTO languages (collection_id, language, next_language, next_row) VALUES (?, ?, ?, ?)",
            (collection_id, language, None, 0) if whole else (collection_id, state.language, language, last),
        )
        return whole

    def check(self, collection_ids: Iterable[int]) -> None:
        """Verify the second tables. Errors of SQLite pass through.

        Raises:
            CacheUnusable: one has not the passages that it should.
        """
        for collection_id in collection_ids:
            state = self._state(collection_id)
            if state.next_language is None:
                continue
            name = f"words_{collection_id}_next"
            self._connection.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")
            (there,) = self._connection.execute(f"SELECT count(*) FROM {name}_docsize").fetchone()
            (expected,) = self._connection.execute(
                f"SELECT count(*) FROM texts_{collection_id} WHERE row_id <= ?", (state.next_row,)
            ).fetchone()
            if there != expected:
                raise CacheUnusable(f"its table {name} has {there} passages, not {expected}")

    def _state(self, collection_id: int) -> _State:
        return self._states.get(collection_id, _State())

    def _abandon(self, execute: Execute, collection_id: int) -> None:
        execute(f"DROP TABLE IF EXISTS words_{collection_id}_next")
