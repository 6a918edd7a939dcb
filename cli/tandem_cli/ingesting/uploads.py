"""Sends files through the gateway's route for files, in requests of bounded size."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tandem_cli.ingesting.report import Report
from tandem_client import Client
from tandem_client.errors import InvalidRequest

MAX_FILES = 50
MAX_BYTES = 8 << 20
"""A request has at most so many files and bytes, unless one file has more; the gateway takes 100 and 16 MiB."""
MAX_FILE_BYTES = 256 << 20
"""A larger file is not even read; the gateway's own limit is 16 MiB, unless it is configured otherwise."""

File = tuple[str, bytes]


def batches(files: Mapping[str, Path], unreadable: Callable[[str, str], None]) -> Iterator[list[File]]:
    """Read files, and yield them in requests.

    Args:
        files: name for the gateway → path.
        unreadable: gets the name of a file that is left out, and the reason.
    """
    batch: list[File] = []
    held = 0
    for name, path in files.items():
        try:
            content = read(name, path)
        except (OSError, ValueError) as error:
            unreadable(name, str(error))
            continue
        if batch and (len(batch) >= MAX_FILES or held + len(content) > MAX_BYTES):
            yield batch
            batch, held = [], 0
        batch.append((name, content))
        held += len(content)
    if batch:
        yield batch


def read(name: str, path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or its name is no UTF-8, so no id can have it.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is no UTF-8; rename it") from None
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES >> 20} MiB")
    return content


def upload(
    client: Client,
    batch: list[File],
    collection: str,
    metadata: dict[str, Any] | None,
    report: Report,
    job: Callable[[str], None],
) -> None:
    """Send files, and count what becomes of them.

    The gateway refuses a request if it can read none of its files, or if it is too large. Its halves are then sent by
    themselves, so that each file has its own reason.

    Args:
        client: of the gateway.
        batch: files of one request.
        collection: gets the documents.
        metadata: of all documents.
        report: counts them.
        job: gets the id of each job.
    """
    try:
        accepted = client.ingest_files(batch, collection=collection, metadata=metadata)
    except InvalidRequest as error:
        if len(batch) == 1:
            report.skipped += 1
            report.fail(batch[0][0], error.message)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            upload(client, half, collection, metadata, report, job)
        return
    report.accepted += accepted.total_documents
    for file in accepted.files:
        if file.error is not None:
            report.skipped += 1
            report.fail(file.name, file.error)
    job(accepted.job_id)
