"""The statements with which the indexes follow the store and look up the rows of hits."""

import itertools
from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.reads import OF_COLLECTION
from tandem_gateway.errors import StorageCorrupt, TooManyBytes
from tandem_gateway.ports.passages import NO_METADATA
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.index import Changes
from tandem_gateway.records.search import FirstPassage, PassageView
from tandem_gateway.records.texts import PassageText, Removals, RemovedPassage, Texts
from tandem_runtime.memory import utf8_bytes

_AT_ONCE: Final = 200
"""Number of documents whose rows are read at once: reading may stop at a number of bytes."""
_FIRST_OF_DOCUMENT: Final = "SELECT f.passage_id FROM passages f WHERE f.document_id = p.document_id AND f.ordinal = 0"
_FIRST_PASSAGES: Final = f"SELECT passage_id FROM passages WHERE {OF_COLLECTION} AND ordinal = 0"
# A text of one passage has its whole length, which "stop" does not say.
_SPANS: Final = (
    "CASE WHEN p.stop IS NOT NULL THEN (SELECT array_agg(ARRAY[q.passage_id, q.start, coalesce(q.stop, "
    "length(d.text))] "
    "ORDER BY q.ordinal) FROM passages q WHERE q.document_id = p.document_id) END"
)


def changes(
    connection: Connection, space_id: int, dim: int, after: int, removals_after: int, limit: int
) -> Changes | None:
    """Return the changes of a space; see ``ChangeLog.changes``. Call this in a transaction that sees one state."""
    found = connection.execute(
        "SELECT s.last_change, x.collection_id, x.removal_floor FROM store s LEFT JOIN LATERAL "
        "(SELECT c.collection_id, c.removal_floor FROM spaces p JOIN collections c ON c.collection_id = "
        "p.collection_id "
        "WHERE p.space_id = %s) x ON true",
        (space_id,),
    ).fetchone()
    assert found is not None
    # A collection that was just deleted has no floor: it has no changes either, and nothing to rebuild from.
    upto, collection_id, floor = found
    if removals_after < (floor or 0):
        return None
    added = connection.execute(
        "SELECT v.passage_id, v.vector, v.change, p.first FROM vectors v CROSS JOIN LATERAL (SELECT CASE p.ordinal "
        f"WHEN 0 THEN p.passage_id ELSE ({_FIRST_OF_DOCUMENT}) END AS first FROM passages p "
        "WHERE p.passage_id = v.passage_id LIMIT 1) p WHERE v.space_id = %s AND v.change > %s ORDER BY v.change "
        "LIMIT %s",
        (space_id, after, limit),
        binary=True,
    ).fetchall()
    for passage_id, vector, _, _ in added:
        if len(vector) != dim * 4:
            raise StorageCorrupt(f"vectors: that of passage {passage_id} has {len(vector)} bytes instead of {dim * 4}")
    complete = len(added) < limit
    if not complete:
        upto = added[-1][2]
    removed = connection.execute(
        "SELECT passage_id FROM removals WHERE collection_id = %s AND change > %s AND change <= %s",
        (collection_id, removals_after, upto),
    ).fetchall()
    vectors = np.frombuffer(b"".join(row[1] for row in added), dtype="<f4").reshape(len(added), dim)
    return Changes(
        upto=upto,
        removed=np.array([row[0] for row in removed], dtype=np.uint64),
        added=np.array([row[0] for row in added], dtype=np.uint64),
        firsts=np.array([row[3] for row in added], dtype=np.uint64),
        vectors=vectors.astype(np.float32, copy=False),
        complete=complete,
    )


def later_passages(connection: Connection, space_id: int) -> tuple[Keys, Keys]:
    """Return passages that are not the first of their document, and those that are; see ``ChangeLog``."""
    row = connection.execute("SELECT collection_id FROM spaces WHERE space_id = %s", (space_id,)).fetchone()
    if row is None:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    rows = connection.execute(
        f"SELECT p.passage_id, ({_FIRST_OF_DOCUMENT}) FROM (SELECT * FROM passages WHERE {OF_COLLECTION} "
        "AND ordinal > 0) p",
        {"id": row[0]},
    )
    found = np.fromiter((number for each in rows for number in each), dtype=np.uint64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def changed_spaces(connection: Connection, after: int) -> list[int]:
    """Return the spaces that have changes with a higher number than ``after``."""
    rows = connection.execute("SELECT space_id FROM spaces WHERE last_change > %s", (after,))
    return [space_id for (space_id,) in rows]


def vectors(connection: Connection, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the vectors of passages; see ``ChangeLog.vectors``."""
    rows = connection.execute(
        "SELECT v.passage_id, v.vector FROM unnest(%s::bigint[]) AS u(passage_id) CROSS JOIN LATERAL (SELECT "
        "x.passage_id, "
        "x.vector FROM vectors x WHERE x.passage_id = u.passage_id AND x.space_id = %s AND x.change IS NOT NULL "
        "LIMIT 1) v "
        "WHERE EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = %s AND s.state <> 'retired')",
        (list(passage_ids), space_id, space_id),
        binary=True,
    )
    return {passage_id: bytes(vector) for passage_id, vector in rows}


def passages(
    connection: Connection,
    passage_ids: Sequence[int],
    max_bytes: int | None = None,
    *,
    texts: bool = True,
    metadata: bool = True,
) -> dict[int, PassageView]:
    """Return passages with their documents; see ``PassageReader.passages``."""
    found: dict[int, PassageView] = {}
    taken = 0
    statement = (
        f"SELECT p.passage_id, d.doc_id, {'d.text' if texts else chr(39) * 2}, "
        f"{'d.metadata' if metadata else repr(NO_METADATA)}, d.live, {_SPANS if texts else 'NULL::bigint[]'}, "
        "d.format = 'markdown' FROM unnest(%s::bigint[]) AS u(passage_id) CROSS JOIN LATERAL (SELECT x.* FROM "
        "passages x "
        "WHERE x.passage_id = u.passage_id LIMIT 1) p CROSS JOIN LATERAL (SELECT x.* FROM documents x "
        "WHERE x.document_id = p.document_id LIMIT 1) d"
    )
    for start in range(0, len(passage_ids), _AT_ONCE):
        rows = connection.execute(statement, (list(passage_ids[start : start + _AT_ONCE]),))
        for passage_id, doc_id, text, of_document, live, spans, markdown in rows:
            several = array("Q", itertools.chain.from_iterable(spans)) if spans is not None else None
            passage = PassageView(passage_id, doc_id, text, of_document, int(live), several, int(markdown))
            if max_bytes is not None and passage_id not in found:
                taken += utf8_bytes(text) + utf8_bytes(of_document)
                if taken > max_bytes:
                    raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
            found[passage_id] = passage
    return found


def first_passage(connection: Connection, collection_id: int, doc_id: str) -> FirstPassage | None:
    """Return the first passage of a document, of its live version if it has one; see ``IndexFeed.first_passage``."""
    found = connection.execute(
        "SELECT p.passage_id, d.live FROM documents d JOIN passages p ON p.document_id = d.document_id AND "
        "p.ordinal = 0 "
        "WHERE d.collection_id = %s AND d.doc_id = %s ORDER BY d.live DESC LIMIT 1",
        (collection_id, doc_id),
    ).fetchone()
    return FirstPassage(found[0], found[1]) if found is not None else None


def findable(connection: Connection, passage_ids: Sequence[int]) -> set[int]:
    """Return the passages that keyword search may show: those of live documents, and of new pending ones."""
    rows = connection.execute(
        "SELECT u.passage_id FROM unnest(%s::bigint[]) AS u(passage_id) CROSS JOIN LATERAL (SELECT x.document_id "
        "FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p CROSS JOIN LATERAL (SELECT x.live, "
        "x.collection_id, "
        "x.doc_id FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d WHERE d.live OR NOT EXISTS "
        "(SELECT 1 FROM documents l WHERE l.collection_id = d.collection_id AND l.doc_id = d.doc_id AND l.live)",
        (list(passage_ids),),
    )
    return {passage_id for (passage_id,) in rows}


def texts(connection: Connection, after: int, limit: int, max_chars: int) -> Texts:
    """Return a page of passages with their texts; see ``TextLog.texts``. Call this in a transaction."""
    # Lengths first: a page must not read more texts than it has.
    rows = connection.execute(
        "SELECT p.passage_id, CASE WHEN p.ordinal = 0 THEN octet_length(d.text) END FROM (SELECT * FROM passages "
        "WHERE passage_id > %s ORDER BY passage_id LIMIT %s) p CROSS JOIN LATERAL (SELECT x.text FROM documents x "
        "WHERE x.document_id = p.document_id LIMIT 1) d ORDER BY p.passage_id",
        (after, limit),
    ).fetchall()
    page: list[PassageText] = []
    chars = read = 0
    last = after
    while read < len(rows) and chars < max_chars:
        part: list[int] = []
        size = 0
        for passage_id, length in rows[read:]:
            part.append(passage_id)
            size += length or 0
            if size >= max_chars - chars:
                break
        found = connection.execute(
            "SELECT p.passage_id, d.collection_id, CASE WHEN p.ordinal = 0 THEN d.text END FROM "
            "unnest(%s::bigint[]) AS "
            "u(passage_id) CROSS JOIN LATERAL (SELECT x.* FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p "
            "CROSS JOIN LATERAL (SELECT x.* FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d "
            "ORDER BY p.passage_id",
            (part,),
        )
        for last, collection_id, text in found:
            read += 1
            if text is not None:
                page.append(PassageText(last, collection_id, text))
                chars += len(text)
            if chars >= max_chars:
                break
    if read < limit and chars < max_chars:
        row = connection.execute("SELECT last_passage FROM store").fetchone()
        assert row is not None
        return Texts(page, row[0])
    return Texts(page, last)


def metadata(connection: Connection, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
    """Return a collection's documents with their metadata; see ``MetadataLog.metadata``."""
    rows = connection.execute(
        "SELECT p.passage_id, d.metadata FROM (SELECT * FROM passages WHERE passage_id > %(after)s "
        f"AND passage_id <= %(upto)s AND ordinal = 0 AND {OF_COLLECTION}) p CROSS JOIN LATERAL (SELECT x.metadata "
        "FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d ORDER BY p.passage_id",
        {"after": after, "upto": upto, "id": collection_id},
    )
    return [(passage_id, of_document) for passage_id, of_document in rows]


def removals(connection: Connection, collection_id: int, after: int, limit: int) -> Removals:
    """Return a page of a collection's removals; see ``TextLog.removals``. Call this in a transaction."""
    found = connection.execute(
        "SELECT removal_floor FROM collections WHERE collection_id = %s", (collection_id,)
    ).fetchone()
    rows = connection.execute(
        "SELECT passage_id, change FROM removals WHERE collection_id = %s AND change > %s ORDER BY change LIMIT %s",
        (collection_id, after, limit),
    )
    return Removals([RemovedPassage(*row) for row in rows], whole=found is None or after >= found[0])


def first_passage_ids(connection: Connection, collection_id: int) -> Keys:
    """Return the ids of a collection's texts, including pending ones, ``(n,) uint64``."""
    rows = connection.execute(_FIRST_PASSAGES, {"id": collection_id}, binary=True)
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def passage_count(connection: Connection, collection_id: int) -> int:
    """Return how many texts a collection has, including pending ones."""
    row = connection.execute(f"SELECT count(*) FROM ({_FIRST_PASSAGES}) p", {"id": collection_id}).fetchone()
    assert row is not None
    return int(row[0])


def indexed_passage_ids(connection: Connection, space_id: int) -> Keys:
    """Return the ids of the passages whose vectors an index of the space has, ``(n,) uint64``."""
    rows = connection.execute(
        "SELECT passage_id FROM vectors WHERE space_id = %s AND change IS NOT NULL", (space_id,), binary=True
    )
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)
