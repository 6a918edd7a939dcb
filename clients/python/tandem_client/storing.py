"""What the adapters for other frameworks do with a collection: several calls each, for both clients.

Until the first documents create a collection, it counts as empty.
"""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from tandem_client.bulk.batches import Batch, Batcher, BulkOptions
from tandem_client.call import Call, Procedure
from tandem_client.calls.documents import delete_documents, documents_page, get_documents
from tandem_client.calls.ingesting import DocumentLike, ingest_lines, new_key
from tandem_client.calls.jobs import wait_job
from tandem_client.calls.searching import embed
from tandem_client.client import Client
from tandem_client.errors import JobFailed, NotFound
from tandem_client.replies import Document, DocumentPage, FoundDocuments, SearchResult
from tandem_contract.client_api import Filter, Job
from tandem_contract.compatible.openai import InputType

STALL_SECONDS = 300.0
IDS_A_READ = 100
IDS_A_DELETION = 1_000
TEXTS_A_REQUEST = 256
"""Texts of a request for vectors; the gateway takes 2,048, and a reply has some kB for each."""

T = TypeVar("T")


def own_client(url: str | None, api_key: str | None) -> Client:
    """Return a client of an adapter, which is closed when nothing uses it any more."""
    client = Client(url, api_key)
    weakref.finalize(client, client._shared.http.close)
    return client


def store(documents: Iterable[DocumentLike], collection: str) -> Procedure[list[str]]:
    """Store documents, wait until searches find them, and return their ids, in the order given.

    Many documents are sent in several requests: after an error, some of them may be stored.

    Raises:
        JobFailed: the gateway could not embed a document.
        JobStalled: it embeds none for five minutes.
    """
    batcher = Batcher(BulkOptions(collection=collection, on_error="reject"))
    ids: list[str] = []
    begun: list[str] = []

    def send(batch: Batch) -> Procedure[None]:
        job: Job = yield ingest_lines(batch.body, collection=collection, on_error="reject", idempotency_key=new_key())
        ids.extend(job.document_ids or [])
        begun.append(job.job_id)

    for document in documents:
        for batch in batcher.add(document):
            if isinstance(batch, Batch):  # with ``reject``, nothing else comes
                yield from send(batch)
    for batch in batcher.rest():
        yield from send(batch)
    for job_id in begun:
        job = yield from wait_job(job_id, stall_seconds=STALL_SECONDS)
        if job.status != "completed":
            failures = "; ".join(f"{failure.id}: {failure.error}" for failure in job.failures[:5])
            raise JobFailed(f"job {job_id} is {job.status}: {failures or job.error}")
    return ids


def read(ids: Iterable[str], collection: str) -> Procedure[list[Document]]:
    """Return the documents that exist, each once, in the order of the ids."""
    found: list[Document] = []
    for part in parts(list(dict.fromkeys(ids)), IDS_A_READ):
        reply: FoundDocuments | None = yield from or_absent(get_documents(part, collection=collection))
        found += reply.documents if reply else []
    return found


def read_all(conditions: Filter | None, collection: str) -> Procedure[list[Document]]:
    """Return all documents that match a filter, in the order of their ids."""
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page: DocumentPage | None = yield from or_absent(
            documents_page(collection=collection, filter=conditions, limit=1_000, cursor=cursor)
        )
        found += page.documents if page else []
        cursor = page.next_cursor if page else None
        if cursor is None:
            return found


def remove(ids: Sequence[str], collection: str) -> Procedure[int]:
    """Delete documents, and return how many there were; an absent id is no error."""
    deleted = 0
    for part in parts(ids, IDS_A_DELETION):
        deleted += (yield from or_absent(delete_documents(part, collection=collection))) or 0
    return deleted


def remove_matching(conditions: Filter, collection: str) -> Procedure[int]:
    """Delete the documents that match a filter, and return how many; ``{}`` matches all."""
    return (yield from or_absent(delete_documents(filter=conditions, collection=collection))) or 0


def find(call: Call[SearchResult]) -> Procedure[SearchResult]:
    """Search; a collection that does not exist yet has no hits."""
    return (yield from or_absent(call)) or SearchResult([], 0.0)


def vectors(texts: Sequence[str], input_type: InputType) -> Procedure[list[list[float]]]:
    """Return the vectors of any number of texts."""
    found: list[list[float]] = []
    for part in parts(texts, TEXTS_A_REQUEST):
        found += yield embed(part, input_type=input_type)
    return found


def or_absent(call: Call[T]) -> Procedure[T | None]:
    """Return the result of a call; None if there is no such collection yet."""
    try:
        result: T = yield call
    except NotFound as error:
        if error.field != "collection":
            raise
        return None
    return result


def parts(values: Sequence[T], most: int) -> Iterator[list[T]]:
    """Divide values into lists of at most so many."""
    for start in range(0, len(values), most):
        yield list(values[start : start + most])
