"""A failed call of the index thread frees its memory at once: its error must not keep itself alive."""

import asyncio

from tandem_gateway.errors import NotFound, StorageUnavailable
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.records.index import Spaces
from tests.support.fakes import FakeGraphFactory, answer_limits
from tests.support.freed import assert_gone, failure_of, no_collector


class FailingFeed:
    """A ``IndexFeed`` of a store that becomes unreadable once the index is loaded."""

    broken = False

    def version(self) -> int:
        if self.broken:
            raise StorageUnavailable("no disk")
        return 1

    def catalogue(self) -> int:
        return 0

    def last_change(self) -> int:
        return 0

    def changed_spaces(self, after: int) -> list[int]:
        return []

    def spaces(self) -> Spaces:
        return Spaces([], [])

    def close(self) -> None:
        pass


class NoSnapshots:
    """A ``SnapshotStore`` without snapshots."""

    def remove_orphans(self, space_ids: object) -> list[str]:
        return []


async def test_the_index_s_thread_fails():
    feed = FailingFeed()
    thread = IndexThread(lambda: feed, NoSnapshots(), FakeGraphFactory(), answer_limits())  # type: ignore[arg-type]
    thread.start().result()

    def fail() -> None:
        raise NotFound("nothing", param="x")

    feed.broken = True
    with no_collector():
        await assert_gone(await failure_of(lambda: thread.search([])))
        await assert_gone(await failure_of(lambda: asyncio.wrap_future(thread._call(fail))))
    thread.close()
