"""Embedding what waits: the task that gives stored documents their vectors.

It works from the store alone: whatever has no vector is work, whoever put it there and whichever process died over
it. Nothing is remembered that a restart would have to remember.

What goes wrong is answered by what can be done about it. An embedder that does not answer: wait and try again, for as
long as it takes. A text that the embedder refuses: that document fails, its neighbours do not. A text at which the
embedder breaks, though it answers others: so often and no oftener. Another model than the collection's: the collection
waits, and says so.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderError,
    EmbedderRejected,
    FingerprintMismatch,
    GatewayError,
    Overloaded,
    StorageError,
)
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.store import DocumentStore
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch
from tandem_gateway.use_cases.backoff import delay

log = logging.getLogger(__name__)

# A document at which the embedder breaks this often, sent alone, is given up.
_MAX_ATTEMPTS_ALONE = 5
_HARMLESS = "a harmless text"
# A collection whose model is not the embedder's is looked at again after this many seconds.
_MISMATCH_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class EmbeddingEvents:
    """What the task reports, for metrics; each is called in the event loop."""

    embedded: Callable[[int], None] = lambda documents: None
    failed: Callable[[int], None] = lambda documents: None
    retried: Callable[[str], None] = lambda reason: None
    mismatched: Callable[[], None] = lambda: None
    truncated: Callable[[int], None] = lambda documents: None
    unreadable: Callable[[int], None] = lambda documents: None


@dataclass(slots=True)
class _State:
    """What the task knows beyond the store; losing it loses nothing but attempts."""

    claimed: set[int] = field(default_factory=set)
    """Rows that are on their way."""
    cursor: int = 0
    """Every row up to it is claimed or done."""
    ended: int = 0
    """Calls that have ended."""
    alone: dict[int, int] = field(default_factory=dict)
    """Row → attempts: documents of a batch that broke, to be sent one by one."""
    paused: dict[int, float] = field(default_factory=dict)
    """Collection → when to look at it again; seconds of the monotonic clock."""
    failures: int = 0
    """Calls that failed in a row."""
    not_before: float = 0.0
    """No call before this; seconds of the monotonic clock."""


class EmbeddingWorker:
    """Runs until it is cancelled; see the module."""

    def __init__(
        self,
        store: DocumentStore,
        embedder: Embedder,
        *,
        batch: int,
        calls: int,
        timeout: float,
        events: EmbeddingEvents | None = None,
    ) -> None:
        """Make the task; ``run`` runs it.

        Args:
            store: where the work is.
            embedder: what does it.
            batch: documents in one call.
            calls: calls at a time to each of the embedder's replicas.
            timeout: seconds for one call.
            events: see ``EmbeddingEvents``.
        """
        self._store = store
        self._embedder = embedder
        self._batch = batch
        self._calls = calls
        self._timeout = timeout
        self._events = events or EmbeddingEvents()
        self._state = _State()
        self._news = asyncio.Event()
        self._waits: dict[str, str] = {}
        self._waits_for_embedder: str | None = None

    def notify(self) -> None:
        """Tell it that there may be work."""
        self._news.set()

    def blocked_reason(self, collection: str) -> str | None:
        """Return why a collection's documents are not embedded now; None if nothing hinders it."""
        return self._waits.get(collection) or self._waits_for_embedder

    async def run(self) -> None:
        """Embed what waits, for ever."""
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
                        done.result()  # a bug in a call ends the task, and with it is noticed
                else:
                    await self._rest(exhausted)
        finally:
            for task in in_flight:
                task.cancel()

    async def _start_calls(self, in_flight: set["asyncio.Task[None]"]) -> bool:
        """Start calls while there is room and work, and return whether there is no more work to start."""
        while len(in_flight) < self._calls * self._embedder.replicas and time.monotonic() >= self._state.not_before:
            try:
                batch = await self._next_batch()
            except StorageError as error:
                self._back_off("storage", str(error))
                return False
            if not batch.documents:
                return True
            self._state.claimed.update(document.row_id for document in batch.documents)
            in_flight.add(asyncio.create_task(self._embed(batch)))
        return False

    async def _next_batch(self) -> PendingBatch:
        state = self._state
        now = time.monotonic()
        for collection_id in [number for number, until in state.paused.items() if until <= now]:
            del state.paused[collection_id]
            state.cursor = 0
        while True:
            ended = state.ended
            batch = await self._store.pending(after=state.cursor, limit=self._batch, without=state.paused.keys())
            if state.ended != ended:
                continue  # what that call did or left undone may have changed after it was read
            if not batch.documents:
                return batch
            free = [document for document in batch.documents if document.row_id not in state.claimed]
            if not free:
                state.cursor = batch.documents[-1].row_id
                continue
            # A document under suspicion goes alone, so that a refusal is about nothing else.
            suspects = [document for document in free if document.row_id in state.alone]
            chosen = suspects[:1] if suspects else free
            if not state.paused and len(chosen) == len(batch.documents):
                state.cursor = chosen[-1].row_id
            return PendingBatch(batch.collection_id, batch.collection, chosen, batch.fingerprint)

    async def _embed(self, batch: PendingBatch) -> None:
        row_ids = [document.row_id for document in batch.documents]
        started_at = time.time()
        try:
            embedded = await self._embedder.embed(
                [document.text for document in batch.documents],
                kind="document",
                priority="bulk",
                timeout=self._timeout,
                fingerprint=batch.fingerprint,
            )
            done = await self._store.complete(
                EmbeddedBatch(
                    batch.collection_id,
                    row_ids,
                    embedded.vectors,
                    embedded.model,
                    embedded.fingerprint,
                    started_at,
                    embedded.coverages,
                )
            )
            self._succeeded(batch, done)
            self._count(embedded.coverages)
        except FingerprintMismatch as error:
            self._state.paused[batch.collection_id] = time.monotonic() + _MISMATCH_PAUSE
            self._waits[batch.collection] = str(error)
            self._events.mismatched()
            log.error("documents wait: wrong model", extra={"collection": batch.collection, "error": str(error)})
            self._succeeded_call()
        except (EmbedderRejected, EmbedderBroken) as error:
            await self._suspect(batch, error)
        except (EmbedderError, Overloaded, DeadlineExceeded, StorageError) as error:
            self._back_off(type(error).__name__, str(error), getattr(error, "retry_after", 0.0))
        finally:
            self._state.claimed.difference_update(row_ids)
            self._state.ended += 1
            # What did not get its vector is found again from the start.
            self._state.cursor = min(self._state.cursor, row_ids[0] - 1)

    def _succeeded(self, batch: PendingBatch, done: int) -> None:
        for document in batch.documents:
            self._state.alone.pop(document.row_id, None)
        self._waits.pop(batch.collection, None)
        self._succeeded_call()
        self._events.embedded(done)

    def _count(self, coverages: Sequence[Coverage]) -> None:
        truncated = sum(coverage.truncated for coverage in coverages)
        if truncated:
            self._events.truncated(truncated)
        unreadable = sum(coverage.unreadable for coverage in coverages)
        if unreadable:
            self._events.unreadable(unreadable)

    def _succeeded_call(self) -> None:
        if self._waits_for_embedder is not None:
            log.info("embedding goes on")
        self._state.failures = 0
        self._waits_for_embedder = None

    async def _suspect(self, batch: PendingBatch, error: GatewayError) -> None:
        """Handle an answer that may be one document's fault."""
        state = self._state
        if len(batch.documents) > 1:
            log.warning("embedding a batch failed; its documents go one by one", extra={"error": str(error)})
            for document in batch.documents:
                state.alone.setdefault(document.row_id, 0)
            return
        row_id = batch.documents[0].row_id
        if isinstance(error, EmbedderBroken) and not await self._answers():
            state.alone.setdefault(row_id, 0)
            self._back_off("EmbedderBroken", str(error))
            return
        state.alone[row_id] = state.alone.get(row_id, 0) + 1
        if isinstance(error, EmbedderBroken) and state.alone[row_id] < _MAX_ATTEMPTS_ALONE:
            self._back_off("EmbedderBroken", str(error))
            return
        log.error("a document is given up", extra={"collection": batch.collection, "row": row_id, "error": str(error)})
        try:
            await self._store.fail(row_id, str(error))
        except (StorageError, Overloaded, DeadlineExceeded) as storage:
            self._back_off(type(storage).__name__, str(storage))
            return
        del state.alone[row_id]
        self._events.failed(1)

    async def _answers(self) -> bool:
        """Return whether the embedder answers a harmless text as it should: else no document is to blame."""
        try:
            await self._embedder.embed([_HARMLESS], kind="document", priority="bulk", timeout=self._timeout)
        except (EmbedderError, Overloaded, DeadlineExceeded):
            return False
        return True

    def _back_off(self, reason: str, message: str, at_least: float = 0.0) -> None:
        state = self._state
        state.failures += 1
        pause = max(delay(state.failures, random.random()), min(at_least, 5.0))  # noqa: S311 - jitter, no secret
        state.not_before = time.monotonic() + pause
        self._waits_for_embedder = message
        self._events.retried(reason)
        if state.failures == 1:
            log.warning("embedding waits", extra={"reason": reason, "error": message})

    async def _rest(self, exhausted: bool) -> None:
        """Wait for the end of a pause or, if there is no work, for news."""
        now = time.monotonic()
        if not exhausted:
            # News does not shorten a pause: the embedder is no readier for it.
            await asyncio.sleep(max(0.0, self._state.not_before - now))
            return
        ends = [*self._state.paused.values()]
        timeout = max(0.0, min(ends) - now) if ends else None
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return
