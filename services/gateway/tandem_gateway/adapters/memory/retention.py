"""What a store in memory forgets: finished jobs with the lists of their documents, and removals."""

from collections.abc import Iterable

from tandem_gateway.adapters.limits import LIST_ENTRY_BYTES
from tandem_gateway.adapters.memory import failed
from tandem_gateway.adapters.memory.collection import follower_of
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.ports.retention import LISTED_BYTES
from tandem_gateway.records.job_documents import JobDocument


def forget_jobs(content: Content, before: float, keep: int) -> int:
    """Drop finished jobs, and the lists that exceed ``LISTED_BYTES``; see ``Retention.forget_jobs``.

    Args:
        content: of the store, whose lock the caller holds.
        before: drop the jobs that finished before this time, in seconds since the epoch.
        keep: maximum number of the other finished jobs to keep.

    Returns:
        Number of dropped jobs.
    """
    jobs = content.jobs
    finished = sorted((job.finished_at, job_id) for job_id, job in jobs.items() if job.finished_at is not None)
    old = sum(finished_at < before for finished_at, _ in finished)
    dropped = finished[: max(old, len(finished) - keep)]
    for _, job_id in dropped:
        del jobs[job_id]
        content.lists.pop(job_id, None)
    failed.forget_jobs(content, [job_id for _, job_id in dropped])
    for key in [key for key, (job_id, _) in content.keys.items() if job_id not in jobs]:
        del content.keys[key]
    _forget_lists(content)
    return len(dropped)


def forget_removals(content: Content, space_id: int, upto: int) -> int:
    """Drop the removals that no index needs any more; see ``Retention.forget_removals``."""
    for each in content.collections.values():
        follower = follower_of(space_id)
        if follower in each.followers:
            each.followers[follower] = max(each.followers[follower], upto)
            each.removal_floor = min(each.followers.values())
            dropped = [change for change in each.removals if change <= each.removal_floor]
            for change in dropped:
                del each.removals[change]
            content.version += 1
            return len(dropped)
    return 0


def _forget_lists(content: Content) -> None:
    lists = content.lists
    size = sum(map(_bytes_of, lists.values()))
    for job_id in [each for each in lists if content.jobs[each].finished_at is not None]:
        if size > LISTED_BYTES:
            size -= _bytes_of(lists.pop(job_id))


def _bytes_of(documents: Iterable[JobDocument]) -> int:
    return sum(len((document.doc_id or "").encode()) + LIST_ENTRY_BYTES for document in documents)
