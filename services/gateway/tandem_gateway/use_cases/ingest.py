"""Accept documents."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.ports.documents import IngestStore
from tandem_gateway.records.documents import IdempotencyKey, JobRecord, NewDocument, NewDocuments
from tandem_gateway.records.namespaces import NO_NAMESPACE, Namespace
from tandem_gateway.use_cases import caller
from tandem_gateway.use_cases.idempotency import idempotency_key, with_ids_of
from tandem_gateway.use_cases.job_traces import JobTraces
from tandem_runtime.trace import current_span
from tandem_runtime.tracing import within

_JOB_BYTES: Final = 16
_IN_THE_LOOP: Final = 1_000
"""Documents whose ids are made in the event loop."""


class Ingest:
    """Stores documents, and calls ``on_accepted`` to notify the embedding task.

    It calls ``on_skipped`` with the number of documents of a new job that were left out. ``traces`` gets the trace of
    each job's request.
    """

    def __init__(
        self,
        store: IngestStore,
        on_accepted: Callable[[], None],
        clock: Callable[[], float] = time.time,
        on_skipped: Callable[[int], None] = lambda documents: None,
        traces: JobTraces | None = None,
    ) -> None:
        self._traces = traces
        self._store = store
        self._on_accepted = on_accepted
        self._clock = clock
        self._on_skipped = on_skipped

    async def accept(
        self,
        collection: str,
        documents: NewDocuments,
        key: str | None = None,
        namespace: Namespace = NO_NAMESPACE,
        on_stored: Callable[[int], None] = lambda documents: None,
    ) -> tuple[JobRecord, list[str]]:
        """Store validated documents; they are on disk when this returns.

        Args:
            collection: name of the collection.
            documents: to store. The job also counts and lists those that were skipped.
            key: the client's idempotency key. A repeated request with the same key stores nothing, and gets the job of
                the first one.
            namespace: of the caller; the ids of the documents have it already.
            on_stored: called with the number of documents of a new job; not called for a repeated request.

        Returns:
            The job that counts the documents, and their ids in the order sent.

        Raises:
            Conflict: the key was given for another ingest.
            InvalidRequest: the key is not valid, or the collection is new and the limit on collections is reached.
            Overloaded, DeadlineExceeded, StorageError: nothing was stored, or it is unknown whether it was.
        """
        span = current_span()
        if span is None:
            return await self._accept(collection, documents, key, namespace, on_stored)
        span.admitted()
        with within(span.child("store documents")) as store:
            store.set("tandem.collection", collection)
            store.set("tandem.documents", len(documents))
            job, ids = await self._accept(collection, documents, key, namespace, on_stored)
            if self._traces is not None:
                self._traces.remember(job.job_id, span.context)
            return job, ids

    async def _accept(
        self,
        collection: str,
        documents: NewDocuments,
        key: str | None,
        namespace: Namespace,
        on_stored: Callable[[int], None],
    ) -> tuple[JobRecord, list[str]]:
        job_id = f"job_{namespace.jobs}{secrets.token_hex(_JOB_BYTES - len(namespace.jobs) // 2)}"
        skipped = documents.skipped or ()
        asking = caller.current.get()
        owner = None if asking is None else asking.id
        if key is None:
            job = await self._store.accept(job_id, collection, documents, self._clock(), skipped=skipped, owner=owner)
        else:
            named = idempotency_key(key, collection, documents, documents.skipped)
            named = IdempotencyKey(namespace.idempotency_keys + named.key, named.request_hash)
            documents[:] = await _with_ids_of(job_id, documents, namespace)
            job = await self._store.accept(job_id, collection, documents, self._clock(), named, skipped, owner)
            if job.job_id != job_id:
                documents[:] = await _with_ids_of(job.job_id, documents, namespace)
        if job.job_id == job_id:
            on_stored(len(documents))
            if skipped:
                self._on_skipped(len(skipped))
        self._on_accepted()
        return job, [document.doc_id for document in documents]


async def _with_ids_of(job_id: str, documents: NewDocuments, namespace: Namespace) -> list[NewDocument]:
    """Return ``with_ids_of``; a thread makes many ids, which take up to ten microseconds each on a busy machine."""
    if len(documents) <= _IN_THE_LOOP:
        return with_ids_of(job_id, documents, namespace.names)
    return await asyncio.to_thread(with_ids_of, job_id, documents, namespace.names)
