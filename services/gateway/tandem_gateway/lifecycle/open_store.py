"""An open data directory, as the composition root hands it over to the gateway."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.lifecycle.snapshot_sharing import SnapshotSharing
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.documents import DocumentStore, IngestStore
from tandem_gateway.ports.embedding_queue import EmbeddingQueue
from tandem_gateway.ports.filters import FilterIndex
from tandem_gateway.ports.index import SnapshotHelper
from tandem_gateway.ports.jobs import JobStore
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.ports.reembedding import Reembeddings
from tandem_gateway.ports.retention import Retention
from tandem_gateway.ports.scrubbing import Scrubbing
from tandem_gateway.ports.search import LexicalIndex
from tandem_gateway.ports.shared_state import SharedState
from tandem_gateway.ports.sizes import StoredSizes
from tandem_gateway.ports.store_health import StoreHealth
from tandem_gateway.records.engines import OWN_ENGINE


@dataclass(frozen=True, slots=True)
class OpenStore:
    """An open data directory, port by port; ``close`` blocks until the queued writes are done."""

    ingest: IngestStore
    jobs: JobStore
    documents: DocumentStore
    catalogue: Catalogue
    sizes: StoredSizes
    queue: EmbeddingQueue
    reembeddings: Reembeddings
    retention: Retention
    scrubbing: Scrubbing
    health: StoreHealth
    position: StorePosition
    index: IndexThread
    lexical: LexicalIndex
    filters: FilterIndex
    snapshots: SnapshotHelper
    shared: SharedState | None = field(default=None, kw_only=True)
    """What the gateways of the store tell each other; None for a store of one gateway."""
    steps: Sequence[Callable[[], Future[bool]]] = field(default=(), kw_only=True)
    """What brings the indexes near the store before the gateway is ready; see ``until_near``."""
    ended: "Future[str] | None" = field(default=None, kw_only=True)
    """Done, with the reason, once the gateway has to start again; None if that cannot happen."""
    notices: list[str]
    """Log lines about repairs and routine work of the startup; see ``RoutineNotice``."""
    close: Callable[[], None]
    engines: Sequence[str] = (OWN_ENGINE,)
    """Names of the vector engines that a collection may have."""
    sharing: SnapshotSharing | None = None
    """Exchanges snapshots with the gateways that use the store, too; None if they share none."""

    @property
    def is_shared(self) -> bool:
        """Whether other gateways may use the store, too."""
        return self.shared is not None
