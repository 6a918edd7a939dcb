"""The background task that fills second spaces: it embeds live passages again, with the model of the space.

The task keeps no state that must survive a restart: what has no vector in the second space is found again. Each kind of
failure has its own response:

- The embedder does not answer, or has another model than the space: the task waits and retries without limit.
- The embedder refuses a text, or breaks on it and works for others: the task goes on without that passage, tells why,
  and tries it again minutes later. The collection cannot switch until the document is changed or deleted.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderError,
    EmbedderRejected,
    FingerprintMismatch,
    Overloaded,
    StorageError,
)
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.reembedding import Reembeddings
from tandem_gateway.records.documents import PendingPassage
from tandem_gateway.records.reembedding import SecondSpace, SecondVectors
from tandem_gateway.use_cases.backoff import delay

log = logging.getLogger(__name__)

MAX_GIVEN_UP: Final = 1000
"""Passages of a space that the task goes on without at most; then it waits."""
_HARMLESS: Final = "a harmless text"
_DAMAGED: Final = "the stored document is damaged: ingest it again"
# Seconds between two looks for passages that went live without a notification.
_LOOK_SECONDS: Final = 5.0
# Seconds after which the task tries again what it went on without.
_RETRY_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Faults:
    """Why passages have no vector in a second space."""

    failed: int = 0
    """Passages that the task went on without."""
    error: str | None = None
    """The last fault; None if there is none."""


@dataclass(slots=True)
class Place:
    """Where the task is in a space."""

    after: int = 0
    """Passages up to this change number have their vectors, except those given up."""
    given_up: dict[int, str] = field(default_factory=dict)
    """Passage → why it has no vector."""
    waits_for: str | None = None
    """Why no passage gets a vector now."""
    retry_at: float = 0.0
    """When the passages given up are tried again; seconds of the monotonic clock."""

    def faults(self) -> Faults:
        """Return what an operator has to know."""
        return Faults(len(self.given_up), self.waits_for or next(reversed(self.given_up.values()), None))

    def begin_again(self, now: float) -> bool:
        """Begin again if it is time to try the passages given up; return whether it is."""
        if not self.given_up or now < self.retry_at:
            return False
        self.after = 0
        self.given_up.clear()
        return True

    def give_up(self, passage_id: int, why: str, now: float) -> None:
        """Go on without a passage."""
        if not self.given_up:
            self.retry_at = now + _RETRY_SECONDS
        self.given_up[passage_id] = why


class ReembeddingWorker:
    """Fills second spaces until it is cancelled; see the module. One event loop owns it."""

    def __init__(
        self,
        store: Reembeddings,
        embedder: Embedder,
        *,
        batch: int,
        calls: int,
        timeout: float,
        replicas: Callable[[], int] = lambda: 1,
        leads: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Make the task; ``run`` runs it.

        Args:
            store: the spaces.
            embedder: embeds texts with the model that a call asks for, if any embedder has it.
            batch: maximum number of passages per call.
            calls: maximum number of concurrent calls per replica of the embedder.
            timeout: deadline of one call, in seconds.
            replicas: returns the number of embedders that share the calls.
            leads: returns whether this gateway fills the spaces now, of several that share the store; None if no other
                gateway uses it.
        """
        self._store = store
        self._embedder = embedder
        self._batch = batch
        self._calls = calls
        self._timeout = timeout
        self._replicas = replicas
        self._leads = leads
        self._places: dict[tuple[int, int], Place] = {}
        self._failures = 0
        self._news = asyncio.Event()

    def notify(self) -> None:
        """Tell the task that a second space may miss vectors."""
        self._news.set()

    def faults(self, space: SecondSpace) -> Faults:
        """Return why passages have no vector in a space."""
        place = self._places.get(space.pair)
        return place.faults() if place is not None else Faults()

    async def run(self) -> None:
        """Fill second spaces until cancelled."""
        while True:
            self._news.clear()
            try:
                spaces = await self._store.spaces()
                self._keep(spaces)
                if spaces and self._leads is not None and not await self._leads():
                    await self._rest(_LOOK_SECONDS)
                    continue
                more = [await self._step(space) for space in spaces]
            except StorageError as error:
                log.error("second spaces cannot be read", extra={"error": str(error)})
                await self._pause()
                continue
            if any(place.waits_for is not None for place in self._places.values()):
                await self._pause()
            elif not any(more):
                # Another gateway may begin a second space, and may die while it fills it.
                await self._rest(_LOOK_SECONDS if spaces or self._leads is not None else None)

    def _keep(self, spaces: Iterable[SecondSpace]) -> None:
        """Keep the places of these spaces; start again in one that has changed its role."""
        self._places = {space.pair: self._places.get(space.pair, Place()) for space in spaces}

    async def _step(self, space: SecondSpace) -> bool:
        """Embed the next passages of a space; return whether more may follow."""
        place = self._places[space.pair]
        place.begin_again(time.monotonic())
        if place.waits_for is not None and not await self._answers(space):
            return True
        page = await self._store.missing(space, place.after, self._batch * self._calls * self._replicas())
        wanted = [each for each in page.passages if each.passage_id not in place.given_up]
        parts = [wanted[start : start + self._batch] for start in range(0, len(wanted), self._batch)]
        done = await asyncio.gather(*(self._embed(space, place, part) for part in parts))
        waits = [why for why in done if why is not None]
        if waits and place.waits_for is None:
            log.warning("re-embedding waits", extra={"collection": space.collection, "error": waits[0]})
        place.waits_for = waits[0] if waits else None
        if waits:
            return True
        self._failures = 0
        place.after = page.after
        return bool(wanted) or not page.complete

    async def _embed(self, space: SecondSpace, place: Place, passages: Sequence[PendingPassage]) -> str | None:
        """Give passages their vectors, or give them up; return why neither is possible now, else None."""
        sound = [each for each in passages if not each.damaged]
        for each in passages:
            if each.damaged:
                self._give_up(space, place, each, _DAMAGED)
        return await self._embed_sound(space, place, sound) if sound else None

    async def _embed_sound(self, space: SecondSpace, place: Place, passages: Sequence[PendingPassage]) -> str | None:
        try:
            await self._call(space, passages)
        except (EmbedderRejected, EmbedderBroken) as error:
            return await self._may_have_caused(space, place, passages, error)
        except (EmbedderError, FingerprintMismatch, Overloaded, DeadlineExceeded, StorageError) as error:
            return str(error)
        return None

    async def _may_have_caused(
        self, space: SecondSpace, place: Place, passages: Sequence[PendingPassage], error: EmbedderError
    ) -> str | None:
        """Handle a failure that one passage may have caused; return why the task has to wait, else None."""
        if len(passages) > 1:
            for each in passages:
                if (why := await self._embed_sound(space, place, [each])) is not None:
                    return why
            return None
        if len(place.given_up) >= MAX_GIVEN_UP:
            return f"{MAX_GIVEN_UP} passages failed, the last one: {error}"
        if isinstance(error, EmbedderBroken) and not await self._answers(space):
            return str(error)
        self._give_up(space, place, passages[0], str(error))
        return None

    async def _call(self, space: SecondSpace, passages: Sequence[PendingPassage]) -> None:
        embedded = await self._embedder.embed(
            [each.text for each in passages],
            kind="document",
            priority="bulk",
            timeout=self._timeout,
            fingerprint=space.target.fingerprint,
        )
        ids = [each.passage_id for each in passages]
        await self._store.add(SecondVectors(space, ids, embedded.vectors, embedded.fingerprint, embedded.coverages))

    async def _answers(self, space: SecondSpace) -> bool:
        """Return whether an embedder embeds a harmless text with the space's model."""
        try:
            found = await self._embedder.embed(
                [_HARMLESS],
                kind="document",
                priority="bulk",
                timeout=self._timeout,
                fingerprint=space.target.fingerprint,
            )
        except (EmbedderError, Overloaded, DeadlineExceeded):
            return False
        return found.fingerprint == space.target.fingerprint

    def _give_up(self, space: SecondSpace, place: Place, passage: PendingPassage, why: str) -> None:
        extra = {"collection": space.collection, "passage": passage.passage_id, "error": why}
        log.error("a passage is not re-embedded", extra=extra)
        place.give_up(passage.passage_id, f"passage {passage.passage_id}: {why}", time.monotonic())

    async def _pause(self) -> None:
        """Wait after a failure; news do not shorten it."""
        self._failures += 1
        await asyncio.sleep(delay(self._failures, random.random()))  # noqa: S311 - jitter, no secret

    async def _rest(self, seconds: float | None) -> None:
        """Wait for news, at most for this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
