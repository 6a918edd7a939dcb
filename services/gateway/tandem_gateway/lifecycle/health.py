"""The health of a gateway that has started: what works, and what an operator has to repair."""

from collections.abc import Sequence

from tandem_gateway.errors import DeadlineExceeded, Overloaded, StorageError
from tandem_gateway.lifecycle.open_store import OpenStore
from tandem_gateway.ports.embedder import EmbedderPool
from tandem_gateway.records.health import GatewayHealth
from tandem_gateway.use_cases.use_cases import UseCases


async def health_of(
    storage: OpenStore, use_cases: UseCases, pools: Sequence[EmbedderPool], *, embedder_up: bool
) -> GatewayHealth:
    """Return the health, with the counts of documents.

    Args:
        storage: the open data directory.
        use_cases: know which rows are damaged.
        pools: know whether an embedder refuses the gateway's token.
        embedder_up: whether an embedder answered the last probe.
    """
    try:
        records = await storage.catalogue.collections()
    except (StorageError, DeadlineExceeded, Overloaded) as error:
        return GatewayHealth("failed", embedder_up, detail=str(error))
    problems = []
    if not embedder_up:
        problems.append("no embedder answers; documents wait, and keyword search answers")
    if any(pool.refused_token for pool in pools):
        problems.append("an embedder refuses the gateway's token (TANDEM_EMBEDDER_TOKEN)")
    if (failure := storage.health.write_failure) is not None:
        problems.append(f"the last write failed: {failure}")
    if use_cases.scrubber.damaged:
        problems.append(f"{use_cases.scrubber.damaged} rows of the store are damaged: put back a backup")
    pinned = next((record for record in records if record.fingerprint is not None), None)
    return GatewayHealth(
        "degraded" if problems else "ok",
        embedder_up,
        documents=sum(record.live for record in records),
        pending=sum(record.pending for record in records),
        model=pinned.model if pinned else None,
        fingerprint=pinned.fingerprint if pinned else None,
        detail="; ".join(problems) or None,
    )
