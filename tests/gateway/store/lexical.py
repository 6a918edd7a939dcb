"""Texts for a test's keyword index, and helpers to fill, follow and search it."""

import itertools
import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.ports.text_log import KEYWORDS
from tests.support.fakes import WAIT_SECONDS, run
from tests.support.stores import document, ingest

TEXTS = {
    "cat": "The cat sat on the mat",
    "tea": "Steep the tea leaves for three minutes",
    "cats": "Cats and dogs, and cats again",
    "cafe": "Un café près de la gare",
    "code": "C++ and snake_case in hello-world programs",
}


_jobs = itertools.count()


def fill(store: SqliteStore, texts: dict[str, str] = TEXTS, collection: str = "default") -> None:
    job_id = f"job{next(_jobs)}"
    run(lambda: ingest(store, [document(*item) for item in texts.items()], job_id, collection))


def found(follower: LexicalFollower, query: str, top_k: int = 10, collection: str = "default") -> list[str]:
    hits = follower.search(collection, query, top_k, time.monotonic() + WAIT_SECONDS)
    assert all(hit.score > 0 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [hit.doc_id for hit in hits]


def open_feed(data_dir: Path) -> SqliteIndexFeed:
    return SqliteIndexFeed(data_dir / FILE_NAME)


def follow(data_dir: Path, store: SqliteStore | None = None, **options: Any) -> LexicalFollower:
    """Follow a store. If it is given, each report of the index's positions waits until the store has written it."""

    def record(positions: Mapping[int, int]) -> Future[int]:
        assert store is not None
        written = store.record_positions(KEYWORDS, positions)
        wait([written], WAIT_SECONDS)
        return written

    return LexicalFollower(data_dir, open_feed(data_dir), record=record if store else None, **options)


def lexical_thread(data_dir: Path, limits: AnswerLimits, **options: Any) -> LexicalThread:
    return LexicalThread(data_dir, lambda: open_feed(data_dir), limits=limits, **{"max_queued": 4, **options})


def finish(follower: LexicalFollower) -> None:
    while follower.step():
        pass


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
