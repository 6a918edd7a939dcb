"""The lexical index's file: a contentless FTS5 table a collection, and how far they have followed the store.

Contentless tables keep words and their places, not the texts: about half of a text's size. FTS5 cannot take a text out
of one without having it again, so a row that is gone from the store stays, and is passed over when its hit is looked
up; row numbers are never used again. When too many are gone the file is built anew.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.errors import DeadlineExceeded, StorageUnavailable
from tandem_gateway.model import Keys

FILE_NAME = "lexical.sqlite3"

# Stemming brings 0.34 -> 0.36 of nDCG@10 on Cranfield; prefixes (0.34) and trigrams (0.34) bring nothing.
TOKENIZER = "porter unicode61 remove_diacritics 2"

_APPLICATION_ID = 0x54_4E_44_4C  # "TNDL"
_VERSION = 1  # of this file's tables and of the tokenizer: another one is built anew

_SCHEMA = (
    "CREATE TABLE position (store_id TEXT NOT NULL, row_id INTEGER NOT NULL) STRICT",
    "CREATE TABLE collections (collection_id INTEGER PRIMARY KEY, documents INTEGER NOT NULL) STRICT",
)
# Of the machine, not of the file: nothing is mended by building it anew.
_OUTSIDE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_NOMEM")
_PROGRESS_STEPS = 5000
_TOO_LATE = "the lexical search was not answered in time"
_MAX_KNOWN_FREQUENCIES = 10_000
# The frequencies that are kept serve until the collection has grown by this share.
_GROWTH = 0.1


class CacheUnusable(Exception):
    """The file is damaged, or of another store or version; it has to be built anew."""


class LexicalCache:
    """One such file; used by one thread."""

    def __init__(self, path: Path, store_id: str, last_row: int) -> None:
        """Open the file, or make it empty.

        The check is a cheap one, for a quick start: what the file says of itself, and that no table has lost rows.

        Args:
            path: of the file.
            store_id: of the store that it follows.
            last_row: the store's last row number.

        Raises:
            CacheUnusable: unless it can be one of that store.
            StorageUnavailable: if it cannot be opened or written.
        """
        self._path = path
        self._frequencies: dict[int, tuple[int, dict[str, int]]] = {}
        with self._translated():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._open(store_id, last_row)
                self._words = _Stems()
            except BaseException:
                self._connection.close()
                raise

    def _open(self, store_id: str, last_row: int) -> None:
        execute = self._connection.execute
        # Not lost by a kill; by a loss of power the last commits, which are then followed again.
        execute("PRAGMA synchronous=NORMAL")
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA journal_size_limit=67108864")
        execute("PRAGMA cache_size=-8000")
        if execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            execute("BEGIN IMMEDIATE")
            execute(f"PRAGMA application_id={_APPLICATION_ID}")
            execute(f"PRAGMA user_version={_VERSION}")
            for statement in _SCHEMA:
                execute(statement)
            execute("INSERT INTO position VALUES (?, 0)", (store_id,))
            execute("COMMIT")
        (application_id,) = execute("PRAGMA application_id").fetchone()
        (version,) = execute("PRAGMA user_version").fetchone()
        if (application_id, version) != (_APPLICATION_ID, _VERSION):
            raise CacheUnusable(f"it is of version {version}, not of {_VERSION}")
        found = execute("SELECT store_id, row_id FROM position").fetchall()
        if len(found) != 1 or found[0][0] != store_id:
            raise CacheUnusable("it is of another store")
        self.position = int(found[0][1])
        """Every row of the store up to this one is in it."""
        if self.position > last_row:
            raise CacheUnusable(f"it holds row {self.position}, the store ends at {last_row}")
        self._counts: dict[int, int] = dict(execute("SELECT collection_id, documents FROM collections"))
        for collection_id, documents in self._counts.items():
            (count,) = execute(f"SELECT count(*) FROM words_{collection_id}_docsize").fetchone()
            if count != documents:
                raise CacheUnusable(f"its table of collection {collection_id} has {count} rows, not {documents}")

    @property
    def total(self) -> int:
        """Rows in it, of all collections, those that are gone from the store included."""
        return sum(self._counts.values())

    def count(self, collection_id: int) -> int:
        """Return the rows of a collection in it, those that are gone from the store included."""
        return self._counts.get(collection_id, 0)

    def add(self, rows: Iterable[tuple[int, int, str]], upto: int) -> None:
        """Add (row number, collection, text), and note that all rows up to ``upto`` are in; all of it or nothing."""
        texts: dict[int, list[tuple[int, str]]] = {}
        for row_id, collection_id, text in rows:
            texts.setdefault(collection_id, []).append((row_id, text))
        with self._transaction() as execute:
            for collection_id, of_collection in texts.items():
                if collection_id not in self._counts:
                    execute(
                        f"CREATE VIRTUAL TABLE words_{collection_id} "
                        f"USING fts5(text, content='', tokenize='{TOKENIZER}')"
                    )
                self._connection.executemany(
                    f"INSERT INTO words_{collection_id} (rowid, text) VALUES (?, ?)", of_collection
                )
                execute(
                    "INSERT INTO collections VALUES (?1, ?2) "
                    "ON CONFLICT DO UPDATE SET documents = documents + excluded.documents",
                    (collection_id, len(of_collection)),
                )
            execute("UPDATE position SET row_id = ?", (upto,))
        for collection_id, of_collection in texts.items():
            self._counts[collection_id] = self.count(collection_id) + len(of_collection)
        self.position = upto

    def keep_only(self, collection_ids: Iterable[int]) -> None:
        """Drop the collections that are not among these."""
        for gone in self._counts.keys() - set(collection_ids):
            with self._transaction() as execute:
                execute(f"DROP TABLE IF EXISTS temp.terms_{gone}")
                execute(f"DROP TABLE words_{gone}")
                execute("DELETE FROM collections WHERE collection_id = ?", (gone,))
            del self._counts[gone]
            self._frequencies.pop(gone, None)

    def search(
        self, collection_id: int, text: str, limit: int, out_of_time: Callable[[], bool]
    ) -> list[tuple[int, float]]:
        """Return (row number, BM25 score) of up to ``limit`` rows: the best first, of equal ones the oldest.

        Raises:
            DeadlineExceeded: if ``out_of_time`` has become true.
            CacheUnusable, StorageUnavailable: see the class.
        """
        if collection_id not in self._counts:
            return []
        with self._translated():
            self._connection.set_progress_handler(out_of_time, _PROGRESS_STEPS)
            try:
                words = query.choose(self._frequencies_of(collection_id, text), self._counts[collection_id])
                if not words:
                    return []
                if out_of_time():
                    raise DeadlineExceeded(_TOO_LATE)
                # rank is bm25(), which is the better the smaller it is.
                return self._connection.execute(
                    f"SELECT rowid, -rank FROM words_{collection_id} WHERE words_{collection_id} MATCH ? "
                    "ORDER BY rank, rowid LIMIT ?",
                    (query.expression(words), limit),
                ).fetchall()
            finally:
                self._connection.set_progress_handler(None, 0)

    def row_ids(self, collection_id: int) -> Keys:
        """Return the row numbers of a collection in it."""
        if collection_id not in self._counts:
            return np.empty(0, np.uint64)
        with self._translated():
            rows = self._connection.execute(f"SELECT id FROM words_{collection_id}_docsize")
            return np.fromiter((row[0] for row in rows), dtype=np.uint64)

    def check(self) -> None:
        """Read all of it.

        Raises:
            CacheUnusable: if anything in it is damaged.
        """
        with self._translated():
            found = [line for (line,) in self._connection.execute("PRAGMA integrity_check(3)") if line != "ok"]
            if found:
                raise CacheUnusable("; ".join(found))
            for collection_id in self._counts:
                name = f"words_{collection_id}"
                self._connection.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")

    def close(self) -> None:
        """Close the file; its log becomes part of it."""
        self._words.close()
        self._connection.close()

    def _frequencies_of(self, collection_id: int, text: str) -> list[tuple[str, int]]:
        """Return the different words of a text, each with the number of documents that it is in."""
        counted_at, known = self._frequencies.get(collection_id, (0, {}))
        count = self._counts[collection_id]
        if count > counted_at * (1 + _GROWTH) or len(known) > _MAX_KNOWN_FREQUENCIES:
            known = {}
            self._frequencies[collection_id] = (count, known)
        execute = self._connection.execute
        execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms_{collection_id} "
            f"USING fts5vocab(main, words_{collection_id}, row)"
        )
        found: list[tuple[str, int]] = []
        for word, stem in self._words.stems(query.words_of(text)):
            frequency = known.get(stem)
            if frequency is None:
                row = execute(f"SELECT doc FROM temp.terms_{collection_id} WHERE term = ?", (stem,)).fetchone()
                frequency = known[stem] = row[0] if row else 0
            found.append((word, frequency))
        return found

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name == "SQLITE_INTERRUPT":
                raise DeadlineExceeded(_TOO_LATE) from error
            if str(error).startswith("fts5: "):
                raise  # an expression that is none: a defect of ours, and none of the file
            if name.startswith(_OUTSIDE) and not name.startswith("SQLITE_IOERR_CORRUPT"):
                raise StorageUnavailable(f"{self._path}: {error} ({name})") from error
            raise CacheUnusable(f"{' '.join(str(error).split())} ({name or type(error).__name__})") from error


class _Stems:
    """The tokenizer of the index, asked for single words: a table in memory that holds one query at a time."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, tokenize='{TOKENIZER}')")
        self._connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, instance)")

    def stems(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Return (word, its stem) for the first word of each stem, in order; a word without a token is left out."""
        execute = self._connection.execute
        execute("BEGIN")
        self._connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(words))
        stems = dict(execute("SELECT doc, term FROM terms WHERE offset = 0"))
        execute("ROLLBACK")
        first: dict[str, str] = {}
        for place, word in enumerate(words):
            if place in stems:
                first.setdefault(stems[place], word)
        return [(word, stem) for stem, word in first.items()]

    def close(self) -> None:
        self._connection.close()


def remove(path: Path) -> None:
    """Remove a lexical index's file and its log."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
