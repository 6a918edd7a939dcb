"""Client of Tandem, a semantic-search gateway: ``Client``, and ``AsyncClient`` for an event loop.

    from tandem_client import Client

    with Client("http://localhost:8000") as client:
        client.ingest(["The cat sat on the mat."], wait=True)
        print(client.search("a pet on a rug").results[0].text)

Arguments and results are the messages of ``tandem_contract``, and those of ``tandem_client.replies``. Every exception
is a ``TandemError``; ``tandem_client.errors`` has the tree.
"""

from tandem_client.async_client import AsyncClient
from tandem_client.bulk.batches import BulkOptions
from tandem_client.bulk.tally import IngestFailure, IngestReport, IngestStopped
from tandem_client.client import Client
from tandem_client.errors import (
    ApiError,
    Conflict,
    ConnectionBroken,
    DeadlineExceeded,
    Forbidden,
    InvalidReply,
    InvalidRequest,
    JobFailed,
    JobStalled,
    NotConnected,
    NotFound,
    Overloaded,
    RateLimited,
    ServerFault,
    TandemError,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from tandem_client.replies import Document, FoundDocuments, Hit, SearchResult
from tandem_contract.client_api import (
    ChunkingSetting,
    Collection,
    DocumentInput,
    FusionInput,
    FusionWeights,
    Health,
    Job,
    RerankInput,
    SearchRequest,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "BulkOptions",
    "ChunkingSetting",
    "Client",
    "Collection",
    "Conflict",
    "ConnectionBroken",
    "DeadlineExceeded",
    "Document",
    "DocumentInput",
    "Forbidden",
    "FoundDocuments",
    "FusionInput",
    "FusionWeights",
    "Health",
    "Hit",
    "IngestFailure",
    "IngestReport",
    "IngestStopped",
    "InvalidReply",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobStalled",
    "NotConnected",
    "NotFound",
    "Overloaded",
    "RateLimited",
    "RerankInput",
    "SearchRequest",
    "SearchResult",
    "ServerFault",
    "TandemError",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
]
