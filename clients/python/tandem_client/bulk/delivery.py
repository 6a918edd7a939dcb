"""Sends one batch, and decides after an error: send its halves, leave a document out, or stop."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from tandem_client.bulk.batches import Batch, BulkOptions
from tandem_client.call import Procedure
from tandem_client.calls.ingesting import ingest_lines
from tandem_client.errors import ApiError, InvalidRequest
from tandem_contract.client_api import Job

Verdict = Literal["halve", "leave_out", "stop"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that the gateway stored, and its job."""

    batch: Batch
    job: Job


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch of which the gateway stored nothing, because no document of it is valid."""

    batch: Batch
    error: ApiError


Delivered = Accepted | Refused


def deliver(batch: Batch, run: str, options: BulkOptions) -> Procedure[list[Delivered]]:
    """Send a batch, in parts if the gateway takes no request as large, and return what became of each part.

    Args:
        batch: the documents.
        run: name of the run; with the batch it makes the idempotency key.
        options: of the run.

    Raises:
        TandemError: an error that every other batch would get too, or that the run must not hide.
    """
    done: list[Delivered] = []
    waiting = deque([batch])
    while waiting:
        part = waiting.popleft()
        call = ingest_lines(
            part.body,
            collection=options.collection,
            on_error=options.on_error,
            idempotency_key=f"{run}-{part.digest(options)}",
        )
        try:
            job = yield call
        except ApiError as error:
            verdict = verdict_of(error, len(part.lines), options)
            if verdict == "stop":
                raise
            if verdict == "halve":
                waiting.extendleft(reversed(part.halves()))
            else:
                done.append(Refused(part, error))
        else:
            done.append(Accepted(part, job))
    return done


def verdict_of(error: ApiError, documents: int, options: BulkOptions) -> Verdict:
    """Decide what to do about a refused batch.

    Args:
        error: of the gateway.
        documents: number of documents of the batch.
        options: of the run.
    """
    if not isinstance(error, InvalidRequest):
        return "stop"
    # Its body or its number of documents is over a limit of this gateway, or of a proxy before it.
    too_large = error.status == 413 or (error.code == "limit_exceeded" and error.field == "documents")
    if too_large and documents > 1:
        return "halve"
    of_a_document = too_large or (error.field or "").startswith("documents[")
    return "leave_out" if of_a_document and options.on_error == "skip" else "stop"
