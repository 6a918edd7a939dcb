"""Writes the keyword index's file: adds and removes passages, and merges removed terms away.

``tables`` has the statements for the tables of a collection, ``languages`` those for the language of its stems. The
table ``collections`` has the columns of earlier releases: ``documents`` is a number of passages. ``searcher`` reads.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.lexical import file, integrity, tables
from tandem_gateway.adapters.sqlite.lexical.file import open_file, translated
from tandem_gateway.adapters.sqlite.lexical.languages import Languages
from tandem_gateway.adapters.sqlite.lexical.positions import Positions
from tandem_gateway.adapters.sqlite.lexical.searcher import LexicalSearcher
from tandem_gateway.adapters.sqlite.log_truncation import LogTruncation, Outcome
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.texts import PassageText, RemovedPassage

# Pages of the file that one step of a merge writes. A search waits for the current step.
_MERGE_PAGES = 200
# Merges and dropped collections are rare, so the log is truncated at once.
_DELAYS = Delays(quiet=0.0, latest=0.0)


class LexicalCache:
    """An open file, which one thread writes and searches."""

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
        self.searcher = LexicalSearcher(self._connection, path, self._counts, self._languages)
        """Searches the passages that the file has now."""
        self._truncation = LogTruncation(self._connection, path, _DELAYS, on_truncation)

    @property
    def total(self) -> int:
        """Number of passages in the file, of all collections."""
        return sum(self._counts.values())

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
                self.searcher.forget(collection_id)
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
                if collection_id in self._counts:
                    language = self.language(collection_id)
                else:
                    language = languages.get(collection_id, DEFAULT_LANGUAGE)
                    tables.create(execute, collection_id)
                    self._languages.begin(execute, collection_id, language)
                tables.add(self._connection, collection_id, of_collection, language)
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
            self.searcher.added(collection_id)
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
        removed: list[int] = []
        done = chars = 0
        change = self.removals.of(collection_id)
        with self._transaction() as execute:
            for passage_id, change in removals:  # noqa: B007  the statement after the loop uses the last change
                done += 1
                text = tables.remove(execute, collection_id, passage_id, self.language(collection_id))
                if text is None:
                    continue
                self._languages.remove(execute, collection_id, passage_id, text)
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
            self.searcher.removed(collection_id, removed)
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
        begin = collection_id not in self._merging
        if begin:
            self._merging[collection_id] = self.removed(collection_id)
        with self._transaction() as execute:
            if tables.merge(self._connection, collection_id, _MERGE_PAGES, begin=begin):
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
                self.searcher.forget(gone)
                self._languages.drop(execute, gone)
                tables.drop(execute, gone)
                execute("DELETE FROM collections WHERE collection_id = ?", (gone,))
            del self._counts[gone]
            self._merging.pop(gone, None)
        if dropped:
            self._languages.read()
            self._truncate_log()

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

    def _transaction(self) -> AbstractContextManager[Callable[..., sqlite3.Cursor]]:
        return file.transaction(self._connection, self._path)
