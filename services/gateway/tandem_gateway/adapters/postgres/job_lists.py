"""The statements that read the documents of jobs; the functions of the schema write them."""

from collections.abc import Iterator
from typing import Any, Final

from tandem_gateway.adapters.job_pages import job_document_page
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.records.job_documents import DocumentStatus, JobDocument, JobDocumentPage, status_reason

ENTRIES: Final = 500
"""Number of documents in a row."""


def page(
    connection: Connection, job_id: str, first: int, limit: int, status: DocumentStatus | None
) -> JobDocumentPage | None:
    """Return documents of a job; see ``JobStore.job_documents``."""
    found = connection.execute(
        "SELECT max(place) FROM job_lists WHERE job_id = %s AND place <= %s", (job_id, first)
    ).fetchone()
    assert found is not None
    (begin,) = found
    if begin is None:
        return None
    return job_document_page(_documents(connection, job_id, begin, first), first, limit, status)


def _documents(connection: Connection, job_id: str, begin: int, first: int) -> Iterator[JobDocument]:
    """Return the documents of a job from the place ``first`` on; the row of the place ``begin`` has it."""
    failures: dict[str, str] = dict(
        connection.execute("SELECT doc_id, error FROM failures WHERE job_id = %s", (job_id,)).fetchall()
    )
    place: int | None = begin
    while place is not None:
        row = connection.execute(
            "SELECT doc_ids, documents, statuses, reasons, (SELECT min(n.place) FROM job_lists n WHERE n.job_id "
            "= l.job_id "
            "AND n.place > l.place) FROM job_lists l WHERE job_id = %s AND place = %s",
            (job_id, place),
        ).fetchone()
        if row is None:
            return
        *columns, following = row
        entries = list(zip(*columns, strict=True))[max(0, first - place) :]
        ended = _ended(connection, job_id, [entry[1] for entry in entries if entry[1] is not None])
        for doc_id, version, status, reason in entries:
            how, given = (status, reason) if version is None else ended.get(version, ("embedded", None))
            if how == "failed" and given is None:
                given = failures.get(doc_id)
            yield JobDocument(doc_id, how, given or status_reason(how))
        place = following


def _ended(connection: Connection, job_id: str, versions: list[int]) -> dict[int, tuple[Any, Any]]:
    """Return status and reason of those of these versions that were not embedded as a whole."""
    rows = connection.execute(
        "SELECT document_id, status, reason FROM job_outcomes WHERE job_id = %(job)s AND document_id = ANY "
        "(%(ids)s::bigint[]) "
        "UNION ALL SELECT document_id, 'pending', NULL FROM waiting WHERE job_id = %(job)s "
        "AND document_id = ANY (%(ids)s::bigint[])",
        {"job": job_id, "ids": versions},
    )
    return {document_id: (status, reason) for document_id, status, reason in rows}
