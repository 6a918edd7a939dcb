"""The tables of a collection in the keyword index's file: the terms of its passages (FTS5), and their texts.

The FTS5 table has two columns for the terms of a passage: the exact forms, and the stems, which weigh less. It keeps
the terms and their positions, not the texts. FTS5 needs the terms again to remove a passage, so a second table keeps
the texts, compressed. Its columns have the names of earlier releases: ``row_id`` is a passage id.

FTS5 only records a removal. The removed terms leave the file when FTS5 merges its segments; see ``merge``.

The caller opens the transactions. Errors of SQLite pass through.
"""

import sqlite3
from collections.abc import Callable, Sequence

from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.texts import columns, compressed, decompressed
from tandem_gateway.records.texts import PassageText

# Splits terms at ASCII white space and changes none of them. Terms contain only ASCII letters, digits, the characters
# named here, and non-ASCII characters, which the tokenizer counts as parts of words.
TOKENIZER = "ascii tokenchars '_+#.-'"

Execute = Callable[..., sqlite3.Cursor]


def create_words(execute: Execute, name: str) -> None:
    """Create an empty table of terms."""
    execute(f"CREATE VIRTUAL TABLE {name} USING fts5(exact, stem, content='', tokenize=\"{TOKENIZER}\")")


def create(execute: Execute, collection_id: int) -> None:
    """Create the tables of a collection, which are empty."""
    create_words(execute, f"words_{collection_id}")
    execute(f"CREATE TABLE texts_{collection_id} (row_id INTEGER PRIMARY KEY, text BLOB NOT NULL) STRICT")


def drop(execute: Execute, collection_id: int) -> None:
    """Drop the tables of a collection."""
    execute(f"DROP TABLE words_{collection_id}")
    execute(f"DROP TABLE texts_{collection_id}")


def add(connection: sqlite3.Connection, collection_id: int, passages: Sequence[PassageText], language: str) -> None:
    """Add passages of a collection, with stems of a language."""
    connection.executemany(
        f"INSERT INTO words_{collection_id} (rowid, exact, stem) VALUES (?, ?, ?)",
        ((each.passage_id, *columns(each.text, language)) for each in passages),
    )
    connection.executemany(
        f"INSERT INTO texts_{collection_id} VALUES (?, ?)",
        ((each.passage_id, compressed(each.text)) for each in passages),
    )


def remove(execute: Execute, collection_id: int, passage_id: int, language: str) -> str | None:
    """Remove a passage, whose stems are of this language; return its text, or None if the passage is not there.

    Raises:
        CacheUnusable: if the terms of the passage are there, but not its text.
    """
    name = f"words_{collection_id}"
    if execute(f"SELECT 1 FROM {name}_docsize WHERE id = ?", (passage_id,)).fetchone() is None:
        return None
    found = execute(f"SELECT text FROM texts_{collection_id} WHERE row_id = ?", (passage_id,)).fetchone()
    if found is None:
        raise CacheUnusable(f"it has no text of passage {passage_id}")
    text = decompressed(found[0])
    remove_words(execute, name, passage_id, text, language)
    execute(f"DELETE FROM texts_{collection_id} WHERE row_id = ?", (passage_id,))
    return text


def remove_words(execute: Execute, name: str, passage_id: int, text: str, language: str) -> None:
    """Remove a passage from a table of terms that has it with this text, and with stems of this language."""
    execute(
        f"INSERT INTO {name} ({name}, rowid, exact, stem) VALUES ('delete', ?, ?, ?)",
        (passage_id, *columns(text, language)),
    )


def merge(connection: sqlite3.Connection, collection_id: int, pages: int, *, begin: bool) -> bool:
    """Merge a part of the segments of a collection's terms; return whether there is more to merge.

    After the last part, the table has no terms of passages that were removed before the merge began.

    Args:
        connection: to the file.
        collection_id: of the collection.
        pages: number of the file's pages to write, at least 1.
        begin: whether to begin a merge of all segments into one, instead of continuing it.
    """
    name = f"words_{collection_id}"
    before = connection.total_changes
    # FTS5 begins a merge if the number is negative.
    connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('merge', ?)", (-pages if begin else pages,))
    # At least two changes: FTS5's documented sign that the step did some work.
    return connection.total_changes - before >= 2
