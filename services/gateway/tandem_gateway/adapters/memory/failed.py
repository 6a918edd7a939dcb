"""What a store in memory keeps of documents that failed, and how a job retries them."""

import dataclasses
from collections.abc import Iterable

from tandem_gateway.adapters.limits import FAILED_ENTRY_BYTES, Limits, check_retry, nothing_to_retry
from tandem_gateway.adapters.memory.collection import Collection, Version
from tandem_gateway.adapters.memory.content import Content, FailedVersion
from tandem_gateway.records.documents import JobRetry
from tandem_gateway.records.job_documents import JobDocument, embedded_status, status_reason


def keep(content: Content, collection: Collection, version: Version, now: float, most_bytes: int) -> None:
    """Keep a version that failed, for the jobs that waited for it; drop the oldest over the limit.

    Args:
        content: of the store, whose lock the caller holds.
        collection: of the version.
        version: a pending one; the caller ends it.
        now: seconds since the epoch.
        most_bytes: maximum size of all kept versions.
    """
    if _bytes_of(version) > most_bytes:
        return
    version.failed_jobs.update(version.jobs)
    content.failed[collection.collection_id, version.document.doc_id] = FailedVersion(collection, version, now)
    _trim(content, most_bytes)


def forget(content: Content, before: float, most_bytes: int) -> int:
    """Drop versions that failed before a time, and the oldest of those over the limit; return how many."""
    old = [key for key, each in content.failed.items() if each.failed_at < before]
    for key in old:
        del content.failed[key]
    return len(old) + _trim(content, most_bytes)


def forget_jobs(content: Content, job_ids: Iterable[str]) -> None:
    """Drop what is kept for jobs that are dropped."""
    for job_id in job_ids:
        for _, version in _versions(content):
            version.failed_jobs.pop(job_id, None)
    for key in [key for key, each in content.failed.items() if not each.version.failed_jobs]:
        del content.failed[key]


def drop_unlisted(content: Content, collection: Collection, source: str, listed: Iterable[str]) -> None:
    """Drop the kept versions of a source's documents that are not listed."""
    there = frozenset(listed)
    for key, each in list(content.failed.items()):
        document = each.version.document
        if each.collection is collection and document.source == source and document.doc_id not in there:
            del content.failed[key]


def retry(content: Content, job_id: str, now: float, limits: Limits) -> JobRetry | None:
    """Make the failed documents of a job wait again; see ``JobStore.retry``."""
    job = content.jobs.get(job_id)
    if job is None:
        return None
    check_retry(job)
    found = [(collection, version) for collection, version in _versions(content) if version.failed_jobs[job_id]]
    if not found:
        raise nothing_to_retry(job)
    again = [pair for pair in found if content.failed_version(*pair) is not None]
    limits.check_pending(sum(len(each.pending) for each in content.collections.values()), len(again))
    retried = sum(version.failed_jobs[job_id] for _, version in found)
    doc_ids = {version.document.doc_id for _, version in found}
    content.jobs[job_id] = dataclasses.replace(
        job,
        processed=job.processed - retried,
        failed=job.failed - retried,
        finished_at=None,
        retried_at=now,
        failures=[failure for failure in job.failures if failure[0] not in doc_ids],
    )
    for collection, version in found:
        documents = version.failed_jobs.pop(job_id)
        doc_id = version.document.doc_id
        if collection.live.get(doc_id) is version:
            status = embedded_status(version.coverage())
            content.end(version, job_id, status)
            content.count(job_id, documents, now, coverage=version.coverage())
            continue
        if content.failed_version(collection, version) is not None:
            del content.failed[collection.collection_id, doc_id]
            version.passages = [content.new_passage()]
            collection.pending[doc_id] = version
            collection.pending = dict(sorted(collection.pending.items(), key=lambda item: item[1].number))
        version.jobs[job_id] = documents
        for job_of, place in version.places:
            if job_of == job_id and job_id in content.lists:
                content.lists[job_id][place] = JobDocument(doc_id, "pending", status_reason("pending"))
    content.version += 1
    return JobRetry(content.jobs[job_id], retried, job.failed - retried)


def _versions(content: Content) -> list[tuple[Collection, Version]]:
    """Return the versions that a job may retry, with their collections, the oldest first."""
    found = [(each.collection, each.version) for each in content.failed.values()]
    for collection in content.collections.values():
        found += [(collection, version) for version in (*collection.pending.values(), *collection.live.values())]
    return sorted(found, key=lambda pair: pair[1].number)


def _trim(content: Content, most_bytes: int) -> int:
    oldest = sorted(content.failed.items(), key=lambda item: (item[1].failed_at, item[1].version.number))
    size = sum(_bytes_of(each.version) for _, each in oldest)
    dropped = 0
    for key, each in oldest:
        if size <= most_bytes:
            break
        size -= _bytes_of(each.version)
        del content.failed[key]
        dropped += 1
    return dropped


def _bytes_of(version: Version) -> int:
    document = version.document
    texts = (document.doc_id, document.text, document.metadata, document.source or "")
    return FAILED_ENTRY_BYTES + sum(len(each.encode()) for each in texts)
