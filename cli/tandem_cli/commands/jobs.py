"""The commands ``jobs``."""

from itertools import islice
from typing import Annotated, Literal

import typer

from tandem_cli.app import app, group
from tandem_cli.failures import Failed
from tandem_cli.output import print_fields, print_json, print_table, printable
from tandem_cli.progress import counting
from tandem_cli.session import Session, command
from tandem_contract.client_api import Job

jobs = group(app, "jobs", "List, show, follow, cancel and retry jobs.")

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job.")]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]


@command(jobs, "list", "tandem jobs list --status completed")
def list_(
    session: Session,
    collection: Annotated[str | None, typer.Option("--collection", "-c", metavar="NAME", help="Only its jobs.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only jobs with this status.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of jobs; 0 for all.")] = 20,
) -> None:
    """List jobs, the newest first."""
    with session.client() as client:
        page = min(limit, 1_000) or 1_000
        found = list(islice(client.jobs(status=status, collection=collection, limit=page), limit or None))
    if session.json:
        print_json({"jobs": found})
        return
    rows = [
        (j.job_id, j.status, j.collection, j.processed_documents, j.total_documents, j.failed_documents, j.created_at)
        for j in found
    ]
    print_table(("job", "status", "collection", "done", "of", "failed", "created"), rows, empty="no jobs")


@command(jobs, "show", "tandem jobs show JOB_ID")
def show(session: Session, job_id: JobId) -> None:
    """Show a job, with its first failures."""
    with session.client() as client:
        _print(session, client.get_job(job_id))


@command(jobs, "follow", "tandem jobs follow JOB_ID")
def follow(session: Session, job_id: JobId) -> None:
    """Show the progress of a job until it ends. Exit status 1 if it fails or is cancelled."""
    with session.client() as client:
        with counting("embedding") as show_progress:
            for job in client.follow_job(job_id):
                show_progress(job.processed_documents, job.total_documents)
        ended = client.get_job(job_id)
    _print(session, ended)
    if ended.status != "completed":
        raise Failed(f"the job {job_id} is {ended.status}")


@command(jobs, "cancel", "tandem jobs cancel JOB_ID")
def cancel(session: Session, job_id: JobId) -> None:
    """Cancel what a job has not embedded yet; the documents stay stored."""
    with session.client() as client:
        _print(session, client.cancel_job(job_id))


@command(jobs, "retry", "tandem jobs retry JOB_ID")
def retry(session: Session, job_id: JobId) -> None:
    """Embed the failed documents of a job again."""
    with session.client() as client:
        client.retry_job(job_id)
        _print(session, client.get_job(job_id))


def _print(session: Session, job: Job) -> None:
    if session.json:
        print_json(job)
        return
    print_fields(
        [
            ("job", job.job_id),
            ("status", job.status),
            ("collection", job.collection),
            ("documents", f"{job.processed_documents:,} of {job.total_documents:,} done"),
            ("unchanged", job.unchanged_documents),
            ("failed", job.failed_documents),
            ("cancelled", job.cancelled_documents),
            ("created", job.created_at),
            ("finished", job.finished_at),
            ("seconds left", job.seconds_left),
            ("error", job.error),
        ]
    )
    for failure in job.failures:
        print(f"failed: {printable(failure.id)}: {printable(failure.error)}")
