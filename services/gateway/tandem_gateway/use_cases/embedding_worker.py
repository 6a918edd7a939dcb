"""The background task that embeds pending documents.

The task claims documents from the queue under leases, and gives back those that got no vector. It keeps no state that
must survive a restart: every document without a vector is pending, even if the process that stored it has died.

Each kind of failure has its own response:

- The embedder does not answer: the task backs off and retries without limit.
- The embedder refuses a text: that document is marked as failed; its neighbours are not affected.
- The embedder fails on one text but works for others, or is too slow for the passages of one text: the task tries that
  text five times and then marks it as failed.
- The embedder's model is not the collection's: the collection waits, and its jobs report why.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tandem_contract.embed import split_seconds
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderError,
    EmbedderRejected,
    FingerprintMismatch,
    GatewayError,
    Overloaded,
    StorageError,
    for_log,
)
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.embedding_queue import EmbeddingQueue
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.use_cases.embedding_pauses import EmbeddingPauses
from tandem_gateway.use_cases.work_spans import failed, stored
from tandem_runtime.trace import Span
from tandem_runtime.tracing import within

log = logging.getLogger(__name__)

# After this many attempts alone, a document on which the embedder breaks is marked as failed.
_MAX_ATTEMPTS_ALONE = 5
_MAX_SUSPECTS = 10_000
_MAX_UNRETURNED = 10_000
_HARMLESS = "a harmless text"
_DAMAGED = "the stored document is damaged: ingest it again"
# Seconds until the task retries a collection whose model is not the embedder's.
_MISMATCH_PAUSE = 10.0
# Seconds of a lease beyond the deadline of a call: time to store the vectors, which may wait for the disk.
_LEASE_MARGIN = 60.0


@dataclass(frozen=True, slots=True)
class EmbeddingEvents:
    """Callbacks for metrics, called in the event loop."""

    embedded: Callable[[int], None] = lambda documents: None
    failed: Callable[[int], None] = lambda documents: None
    retried: Callable[[str], None] = lambda reason: None
    mismatched: Callable[[], None] = lambda: None
    truncated: Callable[[int], None] = lambda documents: None
    unreadable: Callable[[int], None] = lambda documents: None
    spent: Callable[[str, int], None] = lambda job, tokens: None
    """The model read so many tokens for a job."""
    claimed: Callable[[PendingBatch, float], Span | None] = lambda batch, started: None
    """A batch was claimed, from this time of ``time.monotonic`` on. Returns the span of its embedding, if any."""


class EmbeddingWorker:
    """Embeds pending documents until it is cancelled; see the module."""

    def __init__(
        self,
        queue: EmbeddingQueue,
        embedder: Embedder,
        *,
        batch: int,
        calls: int,
        timeout: float,
        look_seconds: float | None = None,
        name: str | None = None,
        events: EmbeddingEvents | None = None,
    ) -> None:
        """Make the task; ``run`` runs it.

        Args:
            queue: source of the pending documents and destination of their vectors.
            embedder: turns documents into vectors.
            batch: maximum number of documents per call.
            calls: maximum number of concurrent calls per replica of the embedder.
            timeout: deadline of one call, in seconds; see ``split_seconds`` for calls with long texts.
            look_seconds: seconds after which the task looks for pending documents although nothing notified it: other
                gateways store documents, too. None if no other gateway uses the queue.
            name: of the worker in the queue; None for a random one.
            events: see ``EmbeddingEvents``.
        """
        self._queue = queue
        self._embedder = embedder
        self._batch = batch
        self._calls = calls
        self._timeout = timeout
        self._lease_seconds = timeout + _LEASE_MARGIN
        self._look_seconds = min(look_seconds or self._lease_seconds, self._lease_seconds)
        self._name = name or f"embedding-{secrets.token_hex(8)}"
        self._events = events or EmbeddingEvents()
        self._pauses = EmbeddingPauses()
        self._suspects: set[int] = set()
        """Passages that failed together with others; that attempt of theirs was not alone. A restart may lose it."""
        self._unreturned: dict[int, bool] = {}
        """Passages that the store could not take back → whether they are suspects."""
        self._news = asyncio.Event()

    def notify(self) -> None:
        """Notify the task that there may be pending documents."""
        self._news.set()

    def blocked_reason(self, collection: str) -> str | None:
        """Return why a collection's documents are not being embedded; None if nothing blocks them."""
        return self._pauses.reason(collection)

    async def run(self) -> None:
        """Embed pending documents until cancelled; then give back those in calls."""
        in_flight: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._news.clear()
                exhausted = await self._start_calls(in_flight)
                if in_flight:
                    wakers = {asyncio.ensure_future(self._news.wait())} if exhausted else set()
                    await asyncio.wait(in_flight | wakers, return_when=asyncio.FIRST_COMPLETED)
                    for waker in wakers:
                        waker.cancel()
                    for done in [task for task in in_flight if task.done()]:
                        in_flight.discard(done)
                        done.result()  # re-raises a bug in a call, so that it ends this task and is logged
                else:
                    await self._rest(exhausted)
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)  # each gives its documents back

    async def _start_calls(self, in_flight: set["asyncio.Task[None]"]) -> bool:
        """Start calls while there are room and pending documents; return whether no pending document is left."""
        while len(in_flight) < self._calls * self._embedder.replicas and time.monotonic() >= self._pauses.not_before:
            started = time.monotonic()
            self._pauses.end(started)
            try:
                await self._return_leases()
                batch = await self._queue.claim(self._name, self._batch, self._lease_seconds, self._pauses.paused)
            except StorageError as error:
                self._back_off("storage", str(error))
                return False
            if batch is None:
                return True
            for passage in batch.passages:
                self._unreturned.pop(passage.passage_id, None)  # its lease has ended by itself, and this is another
            in_flight.add(asyncio.create_task(self._traced(batch, started)))
        return False

    async def _traced(self, batch: PendingBatch, started: float) -> None:
        """Embed a batch, of which the claim began at ``started``, within a span if spans are recorded."""
        span = self._events.claimed(batch, started)
        if span is None:
            await self._embed(batch)
            return
        with within(span):
            await self._embed(batch)

    async def _embed(self, batch: PendingBatch) -> None:
        passage_ids = [passage.passage_id for passage in batch.passages]
        started_at = time.time()
        suspect = False
        answered: str | None = None
        self._pauses.claimed(batch.collection_id, batch.collection)
        timeout = self._timeout
        if batch.split is not None:
            timeout = split_seconds(timeout, sum(len(passage.text) for passage in batch.passages))
        try:
            if batch.passages[0].damaged:
                suspect = await self._give_up(batch, _DAMAGED)
                return
            if timeout > self._timeout:
                await self._queue.extend(self._name, passage_ids, timeout + _LEASE_MARGIN)
            embedded = await self._embedder.embed(
                [passage.text for passage in batch.passages],
                kind="document",
                priority="bulk",
                timeout=timeout,
                fingerprint=batch.fingerprint,
                split=batch.split,
            )
            answered = embedded.fingerprint
            vectors = EmbeddedBatch(
                batch.collection_id,
                passage_ids,
                embedded.vectors,
                embedded.model,
                embedded.fingerprint,
                started_at,
                embedded.coverages,
                embedded.spans,
            )
            done = await stored(self._queue.complete(vectors))
            self._succeeded(batch, done)
            self._count(embedded.coverages_of_texts())
            self._charge(batch, embedded)
        except FingerprintMismatch as error:
            if answered == batch.fingerprint:
                # The collection has switched to another model since the claim: the next claim asks for that one.
                self._succeeded_call()
                return
            until = time.monotonic() + _MISMATCH_PAUSE
            self._pauses.pause(batch.collection_id, batch.collection, until, str(error))
            self._events.mismatched()
            log.error("documents wait: wrong model", extra={"collection": batch.collection, "error": str(error)})
            self._succeeded_call()
        except (EmbedderRejected, EmbedderBroken) as error:
            suspect = await self._may_have_caused(batch, error)
        except (EmbedderError, Overloaded, DeadlineExceeded, StorageError) as error:
            if isinstance(error, DeadlineExceeded) and batch.split is not None:
                suspect = await self._may_have_caused(batch, error)
            else:
                self._back_off(type(error).__name__, str(error), getattr(error, "retry_after", 0.0))
        finally:
            await self._release(passage_ids, suspect=suspect)

    async def _release(self, passage_ids: list[int], *, suspect: bool) -> None:
        """Give passages back; if the store does not answer, before the next claim. The end of their leases is late."""
        try:
            await self._queue.release(self._name, passage_ids, suspect=suspect)
        except (StorageError, DeadlineExceeded, Overloaded) as error:
            if len(self._unreturned) > _MAX_UNRETURNED:
                self._unreturned.clear()
            self._unreturned |= dict.fromkeys(passage_ids, suspect)
            log.warning("leases could not be given back", extra={"error": for_log(error)})

    async def _return_leases(self) -> None:
        """Give back what the store could not take back before, if it can now."""
        for suspect in (False, True):
            passage_ids = [passage_id for passage_id, each in self._unreturned.items() if each is suspect]
            if passage_ids:
                with suppress(StorageError, DeadlineExceeded, Overloaded):
                    await self._queue.release(self._name, passage_ids, suspect=suspect)
                    for passage_id in passage_ids:
                        self._unreturned.pop(passage_id, None)

    def _succeeded(self, batch: PendingBatch, done: int) -> None:
        self._suspects.difference_update(passage.passage_id for passage in batch.passages)
        self._pauses.embedded(batch.collection)
        self._succeeded_call()
        self._events.embedded(done)

    def _count(self, coverages: Sequence[Coverage]) -> None:
        truncated = sum(coverage.truncated for coverage in coverages)
        if truncated:
            self._events.truncated(truncated)
        unreadable = sum(coverage.unreadable for coverage in coverages)
        if unreadable:
            self._events.unreadable(unreadable)

    def _charge(self, batch: PendingBatch, embedded: Embeddings) -> None:
        """Tell for which jobs the model read how many tokens, if the embedder reports them."""
        for passage, tokens in zip(batch.passages, embedded.tokens_of_texts(), strict=False):
            if passage.job is not None:
                self._events.spent(passage.job, tokens)

    def _succeeded_call(self) -> None:
        if self._pauses.answered():
            log.info("embedding goes on")

    async def _may_have_caused(self, batch: PendingBatch, error: GatewayError) -> bool:
        """Handle a failure that one document may have caused; return whether it counts as an attempt of the batch's."""
        if len(batch.passages) > 1:
            log.warning("embedding a batch failed; its documents go one by one", extra={"error": str(error)})
            if len(self._suspects) > _MAX_SUSPECTS:
                self._suspects.clear()  # most of them were deleted; the others have one attempt less
            self._suspects.update(passage.passage_id for passage in batch.passages)
            return True
        (passage,) = batch.passages
        if isinstance(error, EmbedderBroken | DeadlineExceeded):
            await self._queue.extend(self._name, [passage.passage_id], self._lease_seconds)
            if not await self._answers():
                self._back_off(type(error).__name__, str(error))
                return False
            if not is_last_attempt(passage.attempts, together=passage.passage_id in self._suspects):
                self._back_off(type(error).__name__, str(error))
                return True
        return await self._give_up(batch, str(error))

    async def _give_up(self, batch: PendingBatch, reason: str) -> bool:
        """Fail the document of a batch of one; return whether it is still pending, and the batch had an attempt."""
        (passage,) = batch.passages
        failed("given_up")
        extra = {"collection": batch.collection, "row": passage.passage_id, "error": reason}
        log.error("a document is given up", extra=extra)
        try:
            await self._queue.fail(passage.passage_id, reason)
        except (StorageError, Overloaded, DeadlineExceeded) as storage:
            self._back_off(type(storage).__name__, str(storage))
            return True
        self._suspects.discard(passage.passage_id)
        self._events.failed(1)
        return False

    async def _answers(self) -> bool:
        """Return whether the embedder embeds a harmless text; if not, the fault is not the document's."""
        try:
            await self._embedder.embed([_HARMLESS], kind="document", priority="bulk", timeout=self._timeout)
        except (EmbedderError, Overloaded, DeadlineExceeded):
            return False
        return True

    def _back_off(self, reason: str, message: str, at_least: float = 0.0) -> None:
        first = self._pauses.back_off(message, time.monotonic(), at_least)
        failed(reason)
        self._events.retried(reason)
        if first:
            log.warning("embedding waits", extra={"reason": reason, "error": message})

    async def _rest(self, exhausted: bool) -> None:
        """Wait for the end of a pause or, if no document is pending, for a notification."""
        now = time.monotonic()
        if not exhausted:
            # A notification does not shorten the pause: new documents do not make the embedder ready.
            await asyncio.sleep(max(0.0, self._pauses.not_before - now))
            return
        # The lease of a worker that died ends without a notification.
        end = self._pauses.next_end(now + self._look_seconds)
        timeout = max(0.0, min(end - now, self._look_seconds))
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return


def is_last_attempt(attempts: int, *, together: bool) -> bool:
    """Return whether a document on which the embedder just broke is given up.

    Args:
        attempts: number of earlier attempts that ended badly.
        together: whether the first of them was a call with other documents, which does not count.
    """
    return attempts + 1 - together >= _MAX_ATTEMPTS_ALONE
