"""The background task that drops finished jobs and failed documents once they are old."""

import asyncio
import logging
import time
from dataclasses import dataclass

from tandem_gateway.errors import DeadlineExceeded, Overloaded, StorageError, for_log
from tandem_gateway.ports.retention import Retention

log = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0
_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long the store keeps what has ended."""

    job_seconds: float
    """For a finished job."""
    failed_seconds: float
    """For a failed document, so that its job can be retried."""


async def forget_old(store: Retention, policy: RetentionPolicy) -> None:
    """Look once an hour for what the store need not keep, until cancelled."""
    while True:
        try:
            await _forget_old(store, policy)
        except (StorageError, DeadlineExceeded, Overloaded) as error:
            log.warning("what has ended could not be forgotten", extra={"error": for_log(error)})
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            await asyncio.sleep(_LOOK_SECONDS)


async def _forget_old(store: Retention, policy: RetentionPolicy) -> None:
    forgotten = await store.forget_jobs(time.time() - policy.job_seconds)
    if forgotten:
        log.info("finished jobs forgotten", extra={"jobs": forgotten})
    dropped = await store.forget_failed(time.time() - policy.failed_seconds)
    if dropped:
        log.info("failed documents dropped", extra={"documents": dropped})
