"""The statements with which the indexes follow the store and look up the rows of hits."""

import itertools
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from tandem_gateway.adapters.sqlite.counters import value
from tandem_gateway.adapters.sqlite.reads import DOCUMENT_CHECKSUM, damaged
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.ports.passages import NO_METADATA
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.index import Changes
from tandem_gateway.records.search import FirstPassage, PassageView
from tandem_gateway.records.texts import PassageText, Removals, RemovedPassage, Texts
from tandem_runtime.memory import utf8_bytes

_MAX_PARAMETERS = 4096
_MARKDOWN: Final = (
    "EXISTS (SELECT 1 FROM document_formats f WHERE f.document_id = d.document_id AND f.format = 'markdown')"
)
_FIRST_PASSAGES = (
    "SELECT passage_id FROM documents JOIN passages USING (document_id) WHERE collection_id = ? AND ordinal = 0"
)
_VECTOR_CHECKSUM = CHECKSUMS["vectors"].replace("(", "(v.").replace(", ", ", v.")
# Of the passage "p".
_FIRST_OF_DOCUMENT = "SELECT f.passage_id FROM passages f WHERE f.document_id = p.document_id AND f.ordinal = 0"


def changes(
    connection: sqlite3.Connection, space_id: int, dim: int, after: int, removals_after: int, limit: int
) -> Changes | None:
    """Return the changes of a space; see ``ChangeLog.changes``. Call this in a read transaction."""
    found = connection.execute(
        "SELECT collection_id, removal_floor FROM spaces JOIN collections USING (collection_id) WHERE space_id = ?",
        (space_id,),
    ).fetchone()
    # A collection that was just deleted has no floor: it has no changes either, and nothing to rebuild from.
    collection_id, floor = found or (0, 0)
    if removals_after < floor:
        return None
    upto = value(connection, "change")
    added = connection.execute(
        f"SELECT v.passage_id, v.vector, v.change, v.checksum IS {_VECTOR_CHECKSUM}, "
        f"CASE p.ordinal WHEN 0 THEN p.passage_id ELSE ({_FIRST_OF_DOCUMENT}) END "
        "FROM vectors v JOIN passages p ON p.passage_id = v.passage_id "
        "WHERE v.space_id = ? AND v.change > ? ORDER BY v.change LIMIT ?",
        (space_id, after, limit),
    ).fetchall()
    for passage_id, vector, _, sound, _ in added:
        if not sound or len(vector) != dim * 4:
            raise damaged("vectors", passage_id)
    complete = len(added) < limit
    if not complete:
        upto = added[-1][2]
    removed = [
        passage_id
        for (passage_id,) in connection.execute(
            "SELECT passage_id FROM removals WHERE collection_id = ? AND change > ? AND change <= ?",
            (collection_id, removals_after, upto),
        )
    ]
    vectors = np.frombuffer(b"".join(row[1] for row in added), dtype="<f4").reshape(len(added), dim)
    return Changes(
        upto=upto,
        removed=np.array(removed, dtype=np.uint64),
        added=np.array([row[0] for row in added], dtype=np.uint64),
        firsts=np.array([row[4] for row in added], dtype=np.uint64),
        vectors=vectors.astype(np.float32, copy=False),
        complete=complete,
    )


def vectors_after(connection: sqlite3.Connection, space_id: int, change: int) -> int:
    """Return how many vectors of a space have a higher change number than ``change``."""
    (count,) = connection.execute(
        "SELECT count(*) FROM vectors WHERE space_id = ? AND change > ?", (space_id, change)
    ).fetchone()
    return int(count)


def later_passages(connection: sqlite3.Connection, space_id: int) -> tuple[Keys, Keys]:
    """Return passages that are not the first of their document, and those that are; see ``ChangeLog``."""
    rows = connection.execute(
        f"SELECT p.passage_id, ({_FIRST_OF_DOCUMENT}) FROM passages p INDEXED BY passages_later "
        "JOIN documents d ON d.document_id = p.document_id JOIN spaces s ON s.collection_id = d.collection_id "
        "WHERE p.ordinal > 0 AND s.space_id = ?",
        (space_id,),
    )
    found = np.fromiter((number for row in rows for number in row), dtype=np.uint64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def changed_spaces(connection: sqlite3.Connection, after: int) -> list[int]:
    """Return the spaces that have changes with a higher number than ``after``."""
    rows = connection.execute("SELECT space_id FROM spaces WHERE last_change > ?", (after,))
    return [space_id for (space_id,) in rows]


def vectors(connection: sqlite3.Connection, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the vectors of passages; see ``ChangeLog.vectors``."""
    found: dict[int, bytes] = {}
    for part in _padded(passage_ids):
        found.update(connection.execute(_vectors_statement(len(part)), [space_id, *part]))
    return found


def passages(
    connection: sqlite3.Connection,
    passage_ids: Sequence[int],
    max_bytes: int | None = None,
    *,
    texts: bool = True,
    metadata: bool = True,
) -> dict[int, PassageView]:
    """Return passages with their documents; see ``PassageReader.passages``."""
    found: dict[int, PassageView] = {}
    taken = 0
    shown = "d.metadata" if metadata else f"'{NO_METADATA}'"
    statement = _passages_statement if texts else _documents_statement
    for part in _padded(passage_ids):
        for row in connection.execute(statement(len(part), shown), part):
            passage_id, doc_id, text, of_document, live, spans, markdown = row
            several = _passages_of(spans) if spans is not None else None
            passage = PassageView(passage_id, doc_id, text, of_document, live, several, markdown)
            found[passage.passage_id] = passage
            if max_bytes is not None:
                taken += utf8_bytes(passage.text) + utf8_bytes(passage.metadata)
                if taken > max_bytes:
                    raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
    return found


def first_passage(connection: sqlite3.Connection, collection_id: int, doc_id: str) -> FirstPassage | None:
    """Return the first passage of a document, of its live version if it has one; see ``IndexFeed.first_passage``."""
    found = connection.execute(
        "SELECT p.passage_id, d.live FROM documents d JOIN passages p ON p.document_id = d.document_id "
        "WHERE d.collection_id = ? AND d.doc_id = ? AND p.ordinal = 0 ORDER BY d.live DESC LIMIT 1",
        (collection_id, doc_id),
    ).fetchone()
    return FirstPassage(found[0], bool(found[1])) if found is not None else None


def findable(connection: sqlite3.Connection, passage_ids: Sequence[int]) -> set[int]:
    """Return the passages that keyword search may show: those of live documents, and of new pending ones."""
    found: set[int] = set()
    for part in _padded(passage_ids):
        (shown,) = connection.execute(_findable_statement(len(part)), part).fetchone()
        found.update(map(int, shown.split(",")) if shown else ())
    return found


def texts(connection: sqlite3.Connection, after: int, limit: int, max_chars: int) -> Texts:
    """Return a page of passages with their texts; see ``TextLog.texts``. Call this in a read transaction."""
    rows = connection.execute(
        "SELECT p.passage_id, d.collection_id, iif(p.ordinal = 0, d.text, NULL) FROM passages p JOIN documents d "
        "ON d.document_id = p.document_id WHERE p.passage_id > ? ORDER BY p.passage_id LIMIT ?",
        (after, limit),
    )
    page: list[PassageText] = []
    chars = read = last = 0
    for last, collection_id, text in rows:
        read += 1
        if text is not None:
            page.append(PassageText(last, collection_id, text))
            chars += len(text)
        if chars >= max_chars:
            break
    complete = read < limit and chars < max_chars
    return Texts(page, value(connection, "passage") if complete else last)


def metadata(connection: sqlite3.Connection, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
    """Return a collection's documents with their metadata; see ``MetadataLog.metadata``."""
    rows = connection.execute(
        f"SELECT p.passage_id, d.metadata, d.document_id, d.checksum IS {DOCUMENT_CHECKSUM} "
        "FROM passages p CROSS JOIN documents d ON d.document_id = p.document_id "
        "WHERE p.passage_id > ? AND p.passage_id <= ? AND p.ordinal = 0 AND d.collection_id = ? ORDER BY p.passage_id",
        (after, upto, collection_id),
    )
    found: list[tuple[int, str]] = []
    for passage_id, of_document, document_id, sound in rows:
        if not sound:
            raise damaged("documents", document_id)
        found.append((passage_id, of_document))
    return found


def removals(connection: sqlite3.Connection, collection_id: int, after: int, limit: int) -> Removals:
    """Return a page of a collection's removals; see ``TextLog.removals``. Call this in a read transaction."""
    found = connection.execute(
        "SELECT removal_floor FROM collections WHERE collection_id = ?", (collection_id,)
    ).fetchone()
    rows = connection.execute(
        "SELECT passage_id, change FROM removals WHERE collection_id = ? AND change > ? ORDER BY change LIMIT ?",
        (collection_id, after, limit),
    )
    return Removals([RemovedPassage(*row) for row in rows], whole=found is None or after >= found[0])


def all_passage_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the ids of a collection's texts, including pending ones, ``(n,) uint64``."""
    rows = connection.execute(_FIRST_PASSAGES, (collection_id,))
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def passage_count(connection: sqlite3.Connection, collection_id: int) -> int:
    """Return how many texts a collection has, including pending ones."""
    (count,) = connection.execute(f"SELECT count(*) FROM ({_FIRST_PASSAGES})", (collection_id,)).fetchone()
    return int(count)


def indexed_passage_ids(connection: sqlite3.Connection, space_id: int) -> Keys:
    """Return the ids of the passages whose vectors an index of the space has, ``(n,) uint64``."""
    rows = connection.execute("SELECT passage_id FROM vectors WHERE space_id = ? AND change IS NOT NULL", (space_id,))
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def _padded(passage_ids: Sequence[int]) -> Iterator[list[int]]:
    """Return the ids in parts, each padded to a power of two, so that SQLite's statement cache serves all calls."""
    for start in range(0, len(passage_ids), _MAX_PARAMETERS):
        part = list(passage_ids[start : start + _MAX_PARAMETERS])
        yield part + part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))


def _vectors_statement(count: int) -> str:
    return (
        "SELECT v.passage_id, v.vector FROM vectors v JOIN spaces s ON s.space_id = v.space_id "
        "AND s.state <> 'retired' WHERE v.space_id = ? "
        f"AND v.passage_id IN ({','.join('?' * count)}) AND v.change IS NOT NULL"
    )


def _passages_of(spans: str) -> "array[int]":
    """Return passages as ``PassageView.passages`` has them."""
    rows: list[list[int]] = sorted(msgspec.json.decode(spans), key=lambda row: row[1])
    return array("Q", itertools.chain.from_iterable(rows))


def _passages_statement(count: int, metadata: str) -> str:
    # A text of one passage has its whole length, which "stop" does not say.
    return (
        f"SELECT p.passage_id, d.doc_id, d.text, {metadata}, d.live, CASE WHEN p.stop IS NOT NULL THEN "
        "(SELECT json_group_array(json_array(q.passage_id, q.start, coalesce(q.stop, length(d.text)))) FROM passages q "
        f"WHERE q.document_id = p.document_id) END, {_MARKDOWN} "
        "FROM passages p JOIN documents d ON d.document_id = p.document_id "
        f"WHERE p.passage_id IN ({','.join('?' * count)})"
    )


def _documents_statement(count: int, metadata: str) -> str:
    return (
        f"SELECT p.passage_id, d.doc_id, '', {metadata}, d.live, NULL, {_MARKDOWN} "
        "FROM passages p JOIN documents d ON d.document_id = p.document_id "
        f"WHERE p.passage_id IN ({','.join('?' * count)})"
    )


def _findable_statement(count: int) -> str:
    # One row, as in ``LexicalCache.search``.
    return (
        "SELECT group_concat(p.passage_id) FROM passages p JOIN documents d ON d.document_id = p.document_id "
        f"WHERE p.passage_id IN ({','.join('?' * count)}) AND (d.live = 1 OR NOT EXISTS ("
        "SELECT 1 FROM documents AS l WHERE l.collection_id = d.collection_id AND l.doc_id = d.doc_id AND l.live = 1))"
    )
