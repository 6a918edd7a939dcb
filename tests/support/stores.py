"""The real store in a test's folder, and helpers to fill and read it."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.records.chunking import TextFormat
from tandem_gateway.records.documents import EmbeddedBatch, NewDocument, PendingBatch, PendingPassage
from tandem_gateway.use_cases.validation import content_hash
from tests.support.fakes import FINGERPRINT, MODEL, WAIT_SECONDS, vectors_of

NOW = 1_700_000_000.0
LIMITS = Limits(collections=5, pending_documents=1000, finished_jobs=1000)


def open_store(data_dir: Path, limits: Limits = LIMITS, **options: Any) -> SqliteStore:
    connection, _ = open_checked(data_dir)
    return SqliteStore(
        data_dir,
        connection,
        limits=limits,
        **{"max_queued_writes": 100, "write_timeout": 30.0, "batch_bytes": 1 << 20, **options},
    )


@contextmanager
def opened(data_dir: Path, limits: Limits = LIMITS, **options: Any) -> Iterator[SqliteStore]:
    store = open_store(data_dir, limits, **options)
    try:
        yield store
    finally:
        store.close()


def document(
    doc_id: str, text: str | None = None, metadata: str = "{}", text_format: TextFormat = "text"
) -> NewDocument:
    text = f"text of {doc_id}" if text is None else text
    content = content_hash(text, metadata.encode(), text_format)
    return NewDocument(doc_id, text, metadata, content, format=text_format)


async def claimed(store: SqliteStore, limit: int = 1000) -> PendingBatch:
    """Claim up to ``limit`` pending documents of one collection, of which there must be some."""
    batch = await store.queue.claim("test", limit, 60.0)
    assert batch is not None
    return batch


async def pending_documents(store: SqliteStore, limit: int = 1000) -> list[PendingPassage]:
    """Return up to ``limit`` pending documents of one collection; none of them stays leased."""
    batch = await store.queue.claim("test", limit, 60.0)
    if batch is None:
        return []
    await store.queue.release("test", [document.passage_id for document in batch.passages])
    return batch.passages


async def embed_pending(store: SqliteStore, limit: int = 1000, fingerprint: str = FINGERPRINT) -> int:
    """Embed up to ``limit`` documents of one collection, and return their number."""
    batch = await store.queue.claim("test", limit, 60.0)
    if batch is None:
        return 0
    try:
        return await complete(store, batch, fingerprint)
    finally:
        await store.queue.release("test", [waiting.passage_id for waiting in batch.passages])


async def complete(store: SqliteStore, batch: PendingBatch, fingerprint: str = FINGERPRINT) -> int:
    """Give the documents of a batch the vectors of their texts, and return how many got one."""
    return await store.queue.complete(
        EmbeddedBatch(
            batch.collection_id,
            [waiting.passage_id for waiting in batch.passages],
            vectors_of([waiting.text for waiting in batch.passages]),
            MODEL,
            fingerprint,
            NOW + 1,
        )
    )


async def ingest(
    store: SqliteStore, documents: Sequence[NewDocument], job_id: str = "job", collection: str = "default"
) -> None:
    """Store documents and embed all pending ones."""
    await store.accept(job_id, collection, documents, NOW)
    while await embed_pending(store):
        pass


def dump(data_dir: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, without the store's own code and without writing."""
    connection = sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=rw", uri=True)
    try:
        connection.execute("PRAGMA query_only=ON")
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            if table not in {"identity", "counters"}
            else connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in CHECKSUMS
        }
    finally:
        connection.close()


def digest(data_dir: Path) -> str:
    return hashlib.sha256(repr(dump(data_dir)).encode()).hexdigest()


def damage(store: SqliteStore, doc_id: str) -> None:
    """Change a document's text behind the store's back."""
    store._writer.submit(
        lambda connection: connection.execute("UPDATE documents SET text = 'x' WHERE doc_id = ?", (doc_id,))
    ).result(WAIT_SECONDS)
