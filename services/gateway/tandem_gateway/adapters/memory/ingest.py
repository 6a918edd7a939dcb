"""How a store in memory accepts the documents of an ingest. The caller holds the content's lock."""

from collections.abc import Sequence

from tandem_gateway.adapters.job_pages import with_skipped
from tandem_gateway.adapters.limits import MAX_REASON_CHARS, Limits, check_key
from tandem_gateway.adapters.memory.collection import Collection, Version, with_source_of
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.adapters.memory.retention import forget_jobs
from tandem_gateway.ports.documents import KEY_SECONDS
from tandem_gateway.records.documents import IdempotencyKey, JobRecord, NewDocument
from tandem_gateway.records.job_documents import (
    JobDocument,
    SkippedDocument,
    coverage_reason,
    embedded_status,
    status_reason,
)


def accept(
    content: Content,
    job_id: str,
    collection: str,
    documents: Sequence[NewDocument],
    now: float,
    limits: Limits,
    *,
    key: IdempotencyKey | None,
    skipped: Sequence[SkippedDocument],
) -> JobRecord:
    """Store documents and a job; see ``IngestStore.accept``."""
    assert job_id not in content.jobs, f"there is a job {job_id} already"
    accepted = _accepted_with(content, key, now) if key is not None else None
    if accepted is not None:
        return accepted
    limits.check_pending(sum(len(each.pending) for each in content.collections.values()), len(documents))
    into = content.collections.get(collection)
    if into is None:
        limits.check_collections(len(content.collections))
        into = content.create(collection)
    forget_jobs(content, 0.0, limits.finished_jobs)
    content.jobs[job_id] = JobRecord(job_id, collection, len(documents), 0, 0, 0, now, None, None, skipped=len(skipped))
    if key is not None:
        content.keys[key.key] = job_id, key
    content.count(job_id, 0, now)
    left_out = [(each.index, JobDocument(each.doc_id, "skipped", each.message[:MAX_REASON_CHARS])) for each in skipped]
    waiting = [JobDocument(document.doc_id, "pending") for document in documents]
    listed = content.lists[job_id] = with_skipped(waiting, left_out)
    places = [place for place, each in enumerate(listed) if each.status == "pending"]
    for place, document in zip(places, documents, strict=True):
        _accept_document(content, job_id, place, into, document, now)
    content.version += 1
    return content.jobs[job_id]


def _accepted_with(content: Content, key: IdempotencyKey, now: float) -> JobRecord | None:
    """Return the job that was accepted with a key that has not expired."""
    job_id, given = content.keys.get(key.key, ("", key))
    job = content.jobs.get(job_id)
    if job is None or job.created_at <= now - KEY_SECONDS:
        return None
    check_key(key, given.request_hash)
    return job


def _accept_document(
    content: Content, job_id: str, place: int, collection: Collection, document: NewDocument, now: float
) -> None:
    doc_id = document.doc_id
    content.supersede(collection, doc_id)
    pending, live = collection.pending.get(doc_id), collection.live.get(doc_id)
    if pending is not None:
        if pending.document.content_hash == document.content_hash:
            pending.document = with_source_of(pending.document, document)
            pending.wait(job_id, place)
            return
        # The newer version makes it obsolete.
        content.end_wait(pending, "replaced", now)
        content.remove(collection, pending)
    elif live is not None and live.document.content_hash == document.content_hash:
        live.document = with_source_of(live.document, document)
        content.count(job_id, 1, now, coverage=live.coverage(), unchanged=True)
        content.lists[job_id][place] = JobDocument(doc_id, "unchanged", coverage_reason(live.coverage()))
        return
    if live is not None and (live.document.text, live.document.format) == (document.text, document.format):
        # Only the metadata is new: the vectors stay valid.
        content.replace_live(collection, live, content.copy(live, document))
        content.count(job_id, 1, now, coverage=live.coverage())
        status = embedded_status(live.coverage())
        content.lists[job_id][place] = JobDocument(doc_id, status, status_reason(status))
        return
    made = collection.pending[doc_id] = Version(document, [content.new_passage()], number=content.new_version())
    made.wait(job_id, place)
