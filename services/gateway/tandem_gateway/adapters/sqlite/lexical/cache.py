"""The keyword index's file: one FTS5 table per collection, and their positions in the store.

The table has two columns for the terms of a passage: the exact forms, and the stems, which weigh less. It keeps the
terms and their positions, not the texts. FTS5 needs the terms again to remove a passage, so the file also keeps the
texts, compressed. Its columns have the names of earlier releases: ``row_id`` is a passage id, ``documents`` a number of
passages.

FTS5 only records a removal. The removed terms leave the file when FTS5 merges its segments; see ``merge``.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.lexical import file, integrity, literals, query
from tandem_gateway.adapters.sqlite.lexical.file import TOO_LATE, CacheUnusable, open_file, translated
from tandem_gateway.adapters.sqlite.lexical.frequencies import TermFrequencies
from tandem_gateway.adapters.sqlite.lexical.languages import Languages, words_table
from tandem_gateway.adapters.sqlite.lexical.literals import Constraint
from tandem_gateway.adapters.sqlite.lexical.positions import Positions
from tandem_gateway.adapters.sqlite.lexical.postings import Kept, Postings
from tandem_gateway.adapters.sqlite.lexical.texts import columns, compressed, decompressed
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation, Outcome
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.query_syntax import ParsedQuery
from tandem_gateway.analysis.terms import QueryTerm
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.texts import PassageText, RemovedPassage

_RANK = f"bm25(1.0, {query.STEM_WEIGHT})"
# Pages of the file that one step of a merge writes. A search waits for the current step.
_MERGE_PAGES = 200
_PROGRESS_STEPS = 5000
# Merges and dropped collections are rare, so the log is truncated at once.
_DELAYS = Delays(quiet=0.0, latest=0.0)


class Matches(NamedTuple):
    """Passages that match a query."""

    rows: list[tuple[int, float]]
    """(passage id, BM25 score): the best first, ties by passage id."""
    weight: float
    """See ``query.weight``."""


class LexicalCache:
    """The tables of an open file. Only one thread may use it."""

    def __init__(
        self,
        path: Path,
        store_id: str,
        last_passage: int,
        last_change: int,
        on_truncation: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """Open the file, or create an empty one; see ``open_file``.

        Args:
            path: of the file.
            store_id: of the store that the file follows.
            last_passage: the store's last passage id.
            last_change: the store's last change number.
            on_truncation: called with the outcome of each attempt to take removed content out of the log.

        Raises:
            CacheUnusable: if the file does not match that store.
            StorageUnavailable: if the file cannot be opened or written.
        """
        self._path = path
        # Collections with a merge in progress → removed passages whose terms leave the file with this merge.
        self._merging: dict[int, int] = {}
        opened = open_file(path, store_id, last_passage, last_change)
        self._connection, self._counts = opened.connection, opened.counts
        self.position = opened.position
        """The file has every passage of the store up to this id."""
        self.removals = Positions(opened.changes)
        """The store's removals that are applied, by collection."""
        with translated(path):
            self._languages = Languages(self._connection)
        self._frequencies = TermFrequencies(self._connection)
        self._postings = Postings(self._connection)
        self._truncation = LogTruncation(self._connection, path, _DELAYS, on_truncation)

    @property
    def total(self) -> int:
        """Number of passages in the file, of all collections."""
        return sum(self._counts.values())

    @property
    def bytes(self) -> int:
        """Estimated memory of what searches have read of all collections; any thread may read it."""
        return self._postings.bytes + self._frequencies.bytes

    def bytes_of(self, collection_id: int) -> int:
        """Return the estimated memory of what searches have read of a collection; any thread may call it."""
        return self._postings.bytes_of(collection_id) + self._frequencies.bytes_of(collection_id)

    def has(self, collection_id: int) -> bool:
        """Return whether the file has the tables of a collection."""
        return collection_id in self._counts

    def count(self, collection_id: int) -> int:
        """Return how many passages of a collection are in the file."""
        return self._counts.get(collection_id, 0)

    def language(self, collection_id: int) -> str:
        """Return the language of a collection's stems."""
        return self._languages.of(collection_id)

    def changes_language(self, collection_id: int) -> bool:
        """Return whether a collection is getting stems of another language."""
        return self._languages.next_of(collection_id) is not None

    def set_language(self, collection_id: int, language: str, max_rows: int, max_chars: int) -> bool:
        """Give some more passages of a collection stems of a language; return whether there are more.

        Until all have them, searches use those of the language before.

        Args:
            collection_id: of the collection.
            language: of the stems.
            max_rows: maximum number of passages.
            max_chars: the call stops at so many characters, after at least one passage.
        """
        if collection_id not in self._counts or (
            self.language(collection_id) == language and not self.changes_language(collection_id)
        ):
            return False
        with self._transaction() as execute:
            done = self._languages.advance(execute, collection_id, language, max_rows, max_chars)
            if done:
                self._frequencies.drop(collection_id)
                self._postings.drop(collection_id)
        self._languages.read()
        if done:
            self._merging.pop(collection_id, None)
            self._truncate_log()
        return not done

    def add(
        self,
        passages: Sequence[PassageText],
        upto: int,
        change: int,
        languages: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Add passages and set the position to ``upto``, in one transaction.

        Args:
            passages: with higher ids than the position.
            upto: a passage id.
            change: the store's last change when the passages were read. A collection that is new in the file needs no
                removals up to it.
            languages: collection → language of its stems if it is new in the file; English if missing.
        """
        texts: dict[int, list[PassageText]] = {}
        for passage in passages:
            texts.setdefault(passage.collection_id, []).append(passage)
        with self._transaction() as execute:
            for collection_id, of_collection in texts.items():
                name = f"words_{collection_id}"
                if collection_id not in self._counts:
                    execute(words_table(name))
                    execute(
                        f"CREATE TABLE texts_{collection_id} (row_id INTEGER PRIMARY KEY, text BLOB NOT NULL) STRICT"
                    )
                    self._languages.begin(execute, collection_id, languages.get(collection_id, DEFAULT_LANGUAGE))
                language = languages.get(collection_id, DEFAULT_LANGUAGE)
                if collection_id in self._counts:
                    language = self.language(collection_id)
                self._connection.executemany(
                    f"INSERT INTO {name} (rowid, exact, stem) VALUES (?, ?, ?)",
                    ((each.passage_id, *columns(each.text, language)) for each in of_collection),
                )
                self._connection.executemany(
                    f"INSERT INTO texts_{collection_id} VALUES (?, ?)",
                    ((each.passage_id, compressed(each.text)) for each in of_collection),
                )
                execute(
                    "INSERT INTO collections (collection_id, documents, change) VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET documents = documents + excluded.documents",
                    (collection_id, len(of_collection), change),
                )
            execute("UPDATE position SET row_id = ?", (upto,))
        self._languages.read()
        for collection_id, of_collection in texts.items():
            if collection_id not in self._counts:
                self.removals.saved(collection_id, change)
            self._counts[collection_id] = self.count(collection_id) + len(of_collection)
            self._postings.added(collection_id)
            self._frequencies.changed(collection_id)
        self.position = upto

    def remove(self, collection_id: int, removals: Sequence[RemovedPassage], max_chars: int) -> int:
        """Apply removals until the removed texts have ``max_chars`` characters, in one transaction.

        Args:
            collection_id: of a collection that is in the file.
            removals: in the order of their changes; passages that are not in the file are skipped.
            max_chars: limit of characters; the method stops at it, but applies at least one removal.

        Returns:
            How many of the removals were applied, from the first on.
        """
        name = f"words_{collection_id}"
        removed: list[int] = []
        done = chars = 0
        change = self.removals.of(collection_id)
        with self._transaction() as execute:
            for passage_id, change in removals:  # noqa: B007  the statement after the loop uses the last change
                done += 1
                if execute(f"SELECT 1 FROM {name}_docsize WHERE id = ?", (passage_id,)).fetchone() is None:
                    continue
                found = execute(f"SELECT text FROM texts_{collection_id} WHERE row_id = ?", (passage_id,)).fetchone()
                if found is None:
                    raise CacheUnusable(f"it has no text of passage {passage_id}")
                text = decompressed(found[0])
                execute(
                    f"INSERT INTO {name} ({name}, rowid, exact, stem) VALUES ('delete', ?, ?, ?)",
                    (passage_id, *columns(text, self.language(collection_id))),
                )
                self._languages.remove(execute, collection_id, passage_id, text)
                execute(f"DELETE FROM texts_{collection_id} WHERE row_id = ?", (passage_id,))
                removed.append(passage_id)
                chars += len(text)
                if chars >= max_chars:
                    break
            execute(
                "UPDATE collections SET documents = documents - :removed, removed = removed + :removed, "
                "change = :change WHERE collection_id = :collection_id",
                {"removed": len(removed), "change": change, "collection_id": collection_id},
            )
        self._counts[collection_id] -= len(removed)
        if removed:
            self._postings.removed(collection_id, removed)
            self._frequencies.changed(collection_id)
        self.removals.saved(collection_id, change)
        return done

    def sync_removals(self) -> None:
        """Write the positions of ``removals`` to the file, and sync it, so that a power failure does not lose them."""
        unsaved = self.removals.unsaved(self._counts)
        with self._transaction() as execute:
            for collection_id, change in unsaved:
                execute("UPDATE collections SET change = ? WHERE collection_id = ?", (change, collection_id))
        for collection_id, change in unsaved:
            self.removals.saved(collection_id, change)
        file.sync_log(self._path)

    def removed(self, collection_id: int) -> int:
        """Return how many removed passages still have terms somewhere in the file."""
        if collection_id not in self._counts:
            return 0
        with translated(self._path):
            (removed,) = self._connection.execute(
                "SELECT removed FROM collections WHERE collection_id = ?", (collection_id,)
            ).fetchone()
            return int(removed)

    def merge(self, collection_id: int) -> bool:
        """Merge a part of a collection's segments, and return whether there is more to merge.

        After the last step, the file has no terms of passages that were removed before the merge began.
        """
        name = f"words_{collection_id}"
        # A negative number begins a merge of all segments into one; a positive number continues it.
        pages = _MERGE_PAGES
        if collection_id not in self._merging:
            self._merging[collection_id] = self.removed(collection_id)
            pages = -_MERGE_PAGES
        with self._transaction() as execute:
            before = self._connection.total_changes
            execute(f"INSERT INTO {name} ({name}, rank) VALUES ('merge', ?)", (pages,))
            # At least two changes: FTS5's documented sign that the step did some work.
            if self._connection.total_changes - before >= 2:
                return True
            execute(
                "UPDATE collections SET removed = max(0, removed - ?) WHERE collection_id = ?",
                (self._merging.pop(collection_id), collection_id),
            )
        self._truncate_log()
        return False

    def truncation_seconds_left(self) -> float | None:
        """Return the seconds until ``truncate_log_if_due`` has work; None if the log has no removed content."""
        return self._truncation.seconds_left()

    def truncate_log_if_due(self) -> None:
        """Truncate the log if it may still have removed content and a retry is due. Waits for no reader."""
        self._truncation.run_if_due()

    def keep_only(self, collection_ids: Set[int]) -> None:
        """Drop all other collections."""
        self.removals.keep_only(collection_ids)
        dropped = self._counts.keys() - collection_ids
        for gone in dropped:
            with self._transaction() as execute:
                self._frequencies.drop(gone)
                self._languages.drop(execute, gone)
                self._postings.drop(gone)
                execute(f"DROP TABLE words_{gone}")
                execute(f"DROP TABLE texts_{gone}")
                execute("DELETE FROM collections WHERE collection_id = ?", (gone,))
            del self._counts[gone]
            self._merging.pop(gone, None)
        if dropped:
            self._languages.read()
            self._truncate_log()

    def constraint(self, collection_id: int, asked: ParsedQuery, out_of_time: Callable[[], bool]) -> Constraint:
        """Return which passages a query allows; raises as ``search``."""
        if collection_id not in self._counts or not asked.constrained:
            return Constraint()
        with self._reading(out_of_time) as connection:
            return literals.constraint(connection, collection_id, asked, out_of_time)

    def allowed(self, collection_id: int, asked: ParsedQuery, out_of_time: Callable[[], bool]) -> Keys:
        """Return all passages that a query allows, ascending, ``(n,) uint64``; raises as ``search``."""
        if collection_id not in self._counts:
            return np.empty(0, np.uint64)
        found = self.constraint(collection_id, asked, out_of_time)
        with self._reading(out_of_time) as connection:
            keys = literals.all_passages(connection, collection_id) if found.required is None else found.required
        return keys[found.kept(keys)]

    def search(
        self,
        collection_id: int,
        asked: ParsedQuery,
        limit: int,
        out_of_time: Callable[[], bool],
        kept: Kept | None = None,
    ) -> Matches:
        """Return at most ``limit`` passages that match a query.

        Args:
            collection_id: of the collection.
            asked: the query. A passage without its phrases, or with an excluded word, may match; see ``constraint``.
            limit: maximum number of passages.
            out_of_time: whether to stop.
            kept: tells for passage ids which of them may be returned, ``(n,) bool``; None for all.

        Raises:
            DeadlineExceeded: if ``out_of_time`` returns true.
            CacheUnusable, StorageUnavailable: as the constructor does.
        """
        if collection_id not in self._counts:
            return Matches([], 0.0)
        with self._reading(out_of_time):
            count = self._counts[collection_id]
            frequencies: list[tuple[query.Term, int]] = [
                *self._frequencies.of_query(collection_id, asked.words, count, self.language(collection_id)),
                *literals.counts(self._connection, collection_id, (*asked.phrases, *asked.prefixes), out_of_time),
            ]
            terms = query.choose(frequencies, count, needed=asked.phrases[:1])
            weight = query.weight(frequencies, count)
            if not terms:
                return Matches([], weight)
            if out_of_time():
                raise DeadlineExceeded(TOO_LATE)
            words = _plain(terms)
            found = None
            if len(words) == len(terms):
                found = self._postings.rank(collection_id, words, count, limit, out_of_time, kept)
            if found is None:
                found = self._ranked(collection_id, terms, limit if kept is None else count)
                found = found if kept is None else _kept(found, kept)[:limit]
            return Matches(found, weight)

    def search_in_memory(
        self, collection_id: int, words: str, limit: int, most: int, kept: Kept | None = None
    ) -> Matches | None:
        """Return what ``search`` does for a query of plain words; None if it needs the file or may take long.

        Args:
            collection_id: of the collection.
            words: text of the query.
            limit: maximum number of passages.
            most: maximum number of postings to score, each about 0.1 microseconds.
            kept: as for ``search``.
        """
        count = self._counts.get(collection_id)
        frequencies = (
            self._frequencies.of_query_in_memory(collection_id, words, count, self.language(collection_id))
            if count
            else None
        )
        if count is None or frequencies is None:
            return None
        terms = query.choose(frequencies, count)
        found = self._postings.rank_in_memory(collection_id, _plain(terms), limit, most, kept) if terms else []
        return None if found is None else Matches(found, query.weight(frequencies, count))

    def _ranked(self, collection_id: int, terms: Sequence[query.Term], limit: int) -> list[tuple[int, float]]:
        """Return passages that match any of the terms as FTS5 ranks them; see ``Matches``."""
        # rank is bm25(); smaller is better. All matches come in one row: sqlite3 gives away the lock of Python
        # for each row, and may wait milliseconds for it while the event loop is busy.
        (found,) = self._connection.execute(
            "SELECT group_concat(rowid || ' ' || printf('%!.17g', score)) FROM ("
            f"SELECT rowid, -rank AS score FROM words_{collection_id} WHERE words_{collection_id} MATCH ? "
            "AND rank MATCH ? ORDER BY rank, rowid LIMIT ?)",
            (query.expression(terms), _RANK, limit),
        ).fetchone()
        pairs = (pair.split(" ") for pair in found.split(",")) if found else ()
        return [(int(row), float(score)) for row, score in pairs]

    def passage_ids(self, collection_id: int) -> Keys:
        """Return the ids of a collection's passages, ``(n,) uint64``."""
        if collection_id not in self._counts:
            return np.empty(0, np.uint64)
        with translated(self._path):
            return integrity.passage_ids(self._connection, collection_id)

    def check(self) -> None:
        """Read and verify the whole file.

        Raises:
            CacheUnusable: if any part is damaged.
        """
        with translated(self._path):
            integrity.check(self._connection, self._counts)
            self._languages.check(self._counts)

    def close(self) -> None:
        """Close the file; SQLite folds the log into it."""
        self._connection.close()

    def _truncate_log(self) -> None:
        """Truncate the log, which has the pages of before, with removed content."""
        self._truncation.deleted()
        self._truncation.run_if_due()

    @contextmanager
    def _reading(self, out_of_time: Callable[[], bool]) -> Iterator[sqlite3.Connection]:
        """Let the body read until ``out_of_time`` returns true; translate its errors."""
        with translated(self._path):
            self._connection.set_progress_handler(out_of_time, _PROGRESS_STEPS)
            try:
                yield self._connection
            finally:
                self._connection.set_progress_handler(None, 0)

    def _transaction(self) -> AbstractContextManager[Callable[..., sqlite3.Cursor]]:
        return file.transaction(self._connection, self._path)


def _kept(found: list[tuple[int, float]], kept: Kept) -> list[tuple[int, float]]:
    """Return the passages that a search may return."""
    stay = kept(np.fromiter((passage_id for passage_id, _ in found), np.uint64, len(found)))
    return [each for each, stays in zip(found, stay.tolist(), strict=True) if stays]


def _plain(terms: Sequence[query.Term]) -> list[QueryTerm]:
    return [term for term in terms if isinstance(term, QueryTerm)]
