"""An index thread over a test's store, and helpers to query it."""

from collections.abc import Sequence
from pathlib import Path

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.errors import GatewayError
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.records.search import Hit, Hits
from tests.support.fakes import FINGERPRINT, WAIT_SECONDS, answer_limits, answered, vector_of

SMALL = Sizes(graph=2, second_graph=3)
"""A threshold so low that a few documents get a graph."""


def start(data_dir: Path) -> tuple[IndexThread, list[str]]:
    thread = IndexThread(
        lambda: SqliteIndexFeed(data_dir / FILE_NAME),
        Snapshots(data_dir),
        UsearchGraphFactory(),
        answer_limits(),
        sizes=SMALL,
    )
    return thread, thread.start().result(WAIT_SECONDS)


def ask(thread: IndexThread, queries: Sequence[VectorQuery]) -> list[Hits | GatewayError]:
    return answered(thread, queries)


def query(text: str, top_k: int = 3, collection: str = "default", fingerprint: str = FINGERPRINT) -> VectorQuery:
    return VectorQuery(collection, vector_of(text), fingerprint, top_k)


def hits(thread: IndexThread, text: str, top_k: int = 3, collection: str = "default") -> list[Hit]:
    (answer,) = ask(thread, [query(text, top_k, collection)])
    assert isinstance(answer, list)
    return answer
