"""What keyword search keeps in memory: it is counted by collection, and has a limit in bytes."""

import sqlite3
from pathlib import Path

from tandem_gateway.adapters.sqlite.lexical.frequencies import TermFrequencies
from tandem_gateway.adapters.sqlite.lexical.tables import TOKENIZER
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.gateway.store.lexical import lexical_thread
from tests.support.fakes import WAIT_SECONDS, answer_limits
from tests.support.stores import document, ingest


def frequencies(max_bytes: int) -> TermFrequencies:
    connection = sqlite3.connect(":memory:")
    for collection_id in (1, 2):
        connection.execute(
            f"CREATE VIRTUAL TABLE words_{collection_id} USING fts5(exact, stem, content='', tokenize=\"{TOKENIZER}\")"
        )
        connection.execute(f"INSERT INTO words_{collection_id} (rowid, exact, stem) VALUES (1, 'tea', 'tea')")
    return TermFrequencies(connection, max_bytes)


def test_counts_of_words_are_counted_and_have_a_limit():
    counts = frequencies(max_bytes=20_000)
    assert counts.bytes == counts.bytes_of(1) == 0
    held: list[int] = []
    for number in range(300):
        for collection_id in (1, 2):
            found = counts.of_query(collection_id, f"tea word{number}", 1)
            assert [frequency for _, frequency in found] == [1, 0]
            assert counts.bytes == counts.bytes_of(1) + counts.bytes_of(2) <= 20_000
            held.append(counts.bytes)
    assert max(held) > 15_000
    counts.of_query(1, "tea", 1)
    counts.changed(1)
    assert counts.bytes_of(1) == 0
    counts.drop(2)
    assert counts.bytes == 0


async def test_a_collection_takes_memory_once_it_was_searched(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a", "green tea"), document("b", "black tea")])
    await ingest(store, [document("c", "coffee")], "another", "other")
    ids = {record.name: record.collection_id for record in await store.collections()}
    lexical = lexical_thread(tmp_path, answer_limits())
    assert lexical.bytes == lexical.bytes_of(ids["default"]) == 0  # not open yet
    lexical.start().result(WAIT_SECONDS)
    try:
        assert lexical.bytes == 0
        await lexical.search("default", "tea", 5, timeout=WAIT_SECONDS)
        first = lexical.bytes_of(ids["default"])
        assert first > 0
        assert lexical.bytes == first
        await lexical.search("default", "green tea", 5, timeout=WAIT_SECONDS)
        more = lexical.bytes_of(ids["default"])
        assert more > first
        await lexical.search("other", "coffee", 5, timeout=WAIT_SECONDS)
        assert lexical.bytes == more + lexical.bytes_of(ids["other"]) > more
    finally:
        lexical.close()
