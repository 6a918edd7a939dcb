"""Implements the embedding queue in the database: gateways share the leases and the order of the collections."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tandem_gateway.adapters.batching import SPLIT_BYTES
from tandem_gateway.adapters.limits import (
    FAILED_BYTES,
    FAILED_ENTRY_BYTES,
    MAX_ERROR_CHARS,
    MAX_KEPT_FAILURES,
    MAX_REASON_CHARS,
)
from tandem_gateway.adapters.postgres.connection import Connection
from tandem_gateway.adapters.postgres.lanes import Lane
from tandem_gateway.adapters.postgres.reads import chunking_of
from tandem_gateway.adapters.postgres.writes import storable
from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.coverage import UNREADABLE_SHARE
from tandem_gateway.records.documents import EmbeddedBatch, PendingBatch, PendingPassage

DROPPED_AT_ONCE: Final = 500
"""Maximum number of failed versions that one commit drops."""

_MAX_CLAIMED: Final = 100_000
"""Passages whose hashes are remembered at most; a forgotten one is completed without the comparison."""
_CLAIM: Final = (
    "SELECT collection_id, name, fingerprint, chunking, format, whole, passage_id, content, content_hash, attempts, "
    "job FROM claim_v1(%s, %s, %s, %s, %s, %s::bigint[], %s)"
)
_COMPLETE: Final = (
    "SELECT done, name, pinned FROM complete_v1(%(collection)s, %(passages)b::bigint[], %(hashes)b::bytea[], "
    "%(of)b::integer[], "
    "%(starts)b::integer[], %(stops)b::integer[], %(vectors)b, %(truncated)s::boolean[], %(unknown)s::float8[], "
    "%(unreadable_share)s, %(fingerprint)s, %(model)s, %(dim)s, %(now)s, %(started)s)"
)
_FAIL: Final = "SELECT fail_v1(%s, %s, %s, %s, %s, %s, %s)"


class PostgresEmbeddingQueue:
    """Implements ``EmbeddingQueue``; one event loop uses it."""

    def __init__(
        self,
        lane: Lane,
        *,
        batch_bytes: int,
        failed_bytes: int = FAILED_BYTES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Use a store.

        Args:
            lane: runs the statements.
            batch_bytes: maximum UTF-8 bytes of a batch's texts; a longer text comes alone.
            failed_bytes: maximum size of all the failed versions that the store keeps; see ``Limits``.
            clock: of the leases, in seconds; None for the database's, which all gateways share.
        """
        self._lane = lane
        self._batch_bytes = batch_bytes
        self._failed_bytes = failed_bytes
        self._clock = clock
        self._claiming = asyncio.Lock()
        self._claimed: dict[int, bytes] = {}
        """Passage → hash of its document when it was claimed, the oldest first."""

    async def claim(
        self, worker: str, limit: int, lease_seconds: float, without: Collection[int] = ()
    ) -> PendingBatch | None:
        """Lease passages; see ``EmbeddingQueue.claim``. What a cancelled claim has leased is given back."""
        claim = _Claim(worker, limit, lease_seconds, list(without))
        claiming = asyncio.ensure_future(self._claim(claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claim.abandoned = True
            if claiming.done():
                self._returning = asyncio.ensure_future(self._give_back(worker, claiming))
            raise

    async def _claim(self, claim: "_Claim") -> PendingBatch | None:
        values = (
            claim.worker,
            claim.limit,
            claim.lease_seconds,
            self._batch_bytes,
            SPLIT_BYTES,
            claim.without,
            self._now(),
        )
        async with self._claiming:  # one claim after the other, so that each sees whom the last one served
            rows = await self._lane.run(
                lambda c: c.execute(_CLAIM, values).fetchall(), repeatable=False, followed=False
            )
            batch = _batch(rows) if rows else None
            self._claimed |= {row[6]: row[8] for row in rows}
            while len(self._claimed) > _MAX_CLAIMED:
                del self._claimed[next(iter(self._claimed))]
            if batch is not None and claim.abandoned:
                await self.release(claim.worker, [each.passage_id for each in batch.passages])
            return batch

    async def _give_back(self, worker: str, claiming: "asyncio.Future[PendingBatch | None]") -> None:
        """Release what an abandoned claim has leased, before the next claim."""
        batch = claiming.result() if not claiming.cancelled() and claiming.exception() is None else None
        async with self._claiming:
            if batch is not None:
                await self.release(worker, [each.passage_id for each in batch.passages])

    async def extend(self, worker: str, passage_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Extend leases; see ``EmbeddingQueue.extend``."""
        values = (worker, list(passage_ids), lease_seconds, self._now())
        statement = "SELECT extend_v1(%s, %s::bigint[], %s, %s)"
        row = await self._lane.run(lambda c: c.execute(statement, values).fetchone(), repeatable=True, followed=False)
        assert row is not None
        held = set(row[0])
        return [passage_id for passage_id in passage_ids if passage_id in held]

    async def release(self, worker: str, passage_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give passages back; see ``EmbeddingQueue.release``."""
        values = (worker, list(passage_ids), suspect)
        await self._lane.run(
            lambda c: c.execute("SELECT free_v1(%s, %s::bigint[], %s)", values), repeatable=True, followed=False
        )

    async def complete(self, batch: EmbeddedBatch) -> int:
        """Give passages their vectors; see ``EmbeddingQueue.complete``."""
        hashes = [self._claimed.get(passage_id) for passage_id in batch.passage_ids]
        done, name, pinned = await self._lane.run(
            lambda c: _complete(c, batch, hashes, time.time()), repeatable=True, followed=False
        )
        if done < 0:
            raise FingerprintMismatch(name, pinned=pinned, offered=batch.fingerprint)
        for passage_id in batch.passage_ids:
            self._claimed.pop(passage_id, None)
        return int(done)

    async def fail(self, passage_id: int, error: str) -> None:
        """Mark a pending document as failed; see ``EmbeddingQueue.fail``."""
        values = (
            passage_id,
            storable(error[:MAX_ERROR_CHARS]),
            storable(error[:MAX_REASON_CHARS]),
            time.time(),
            self._failed_bytes,
            FAILED_ENTRY_BYTES,
            MAX_KEPT_FAILURES,
        )
        await self._lane.run(lambda c: c.execute(_FAIL, values).fetchone(), repeatable=True, followed=False)
        await self._lane.run(self._trim, repeatable=True, followed=False)

    def _trim(self, connection: Connection) -> None:
        connection.execute("SELECT trim_failed_v1(%s, %s)", (self._failed_bytes, DROPPED_AT_ONCE))

    def _now(self) -> float | None:
        return self._clock() if self._clock is not None else None


@dataclass(slots=True)
class _Claim:
    worker: str
    limit: int
    lease_seconds: float
    without: list[int]
    abandoned: bool = False


def _batch(rows: Sequence[tuple[Any, ...]]) -> PendingBatch:
    collection_id, name, fingerprint, chunking, text_format, split = rows[0][:6]
    passages = [PendingPassage(passage_id, text, attempts, job=job) for *_, passage_id, text, _, attempts, job in rows]
    rules = chunking_of(chunking)
    of_batch = Split(rules, text_format) if split and rules is not None else None
    return PendingBatch(collection_id, name, passages, fingerprint, of_batch)


def _complete(
    connection: Connection, batch: EmbeddedBatch, hashes: Sequence[bytes | None], now: float
) -> tuple[int, str, str]:
    of: list[int] = []
    starts: list[int | None] = []
    stops: list[int | None] = []
    for place, (_, spans, rows) in enumerate(batch.texts(), start=1):
        of += [place] * len(rows)
        starts += [span.start for span in spans] or [None]
        stops += [span.stop for span in spans] or [None]
    unknown: list[Any] = [None] * len(of)
    values = {
        "collection": batch.collection_id,
        "passages": batch.passage_ids,
        "hashes": list(hashes),
        "of": of,
        "starts": starts,
        "stops": stops,
        "vectors": batch.vectors.astype("<f4", copy=False).tobytes(),
        "truncated": [each.truncated for each in batch.coverages] or unknown,
        "unknown": [each.unknown for each in batch.coverages] or unknown,
        "unreadable_share": UNREADABLE_SHARE,
        "fingerprint": batch.fingerprint,
        "model": batch.model,
        "dim": int(batch.vectors.shape[1]),
        "now": now,
        "started": batch.started_at,
    }
    row = connection.execute(_COMPLETE, values).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
