"""Reading and deleting many documents: limits, pages, and deadlines that cut a deletion."""

from collections.abc import Callable, Sequence

import pytest

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, NotFound
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.http.filters import read_filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, PAGE_BYTES
from tandem_gateway.records.documents import Deletions
from tandem_gateway.use_cases.documents import MAX_IDS, Documents
from tests.gateway.ports.steps import counts
from tests.support.stores import LIMITS, NOW, document

COUNT = 2 * DELETED_AT_ONCE + 50


class Clock:
    """A clock that each reading moves on."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def made(store: MemoryStore, *, clock: Callable[[], float] = lambda: 0.0, answer_bytes: int = 1000) -> Documents:
    return Documents(store, store, on_changed=lambda: None, answer_bytes=answer_bytes, timeout=10.0, clock=clock)


async def filled(count: int = COUNT, text: str = "t") -> MemoryStore:
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    await store.accept("job", "default", [document(f"d{n:04}", text, f'{{"n":{n}}}') for n in range(count)], NOW)
    return store


async def test_a_deletion_by_a_filter_takes_as_many_steps_as_it_needs():
    store = await filled()
    assert await made(store).delete_matching("default", read_filter(b'{"n": {"$gte": 10}}')) == COUNT - 10
    assert await counts(store) == (0, 10)
    assert await made(store).delete_matching("default", EVERYTHING) == 10
    assert await made(store).delete_matching("nowhere", EVERYTHING) == 0


async def test_a_deletion_that_is_late_says_what_it_has_done_and_goes_on_when_repeated():
    store = await filled()
    with pytest.raises(DeadlineExceeded, match=f"10 s; {DELETED_AT_ONCE} documents are deleted, .* again"):
        await made(store, clock=Clock(2.5)).delete_matching("default", EVERYTHING)
    assert await counts(store) == (0, COUNT - DELETED_AT_ONCE)
    assert await made(store).delete_matching("default", EVERYTHING) == COUNT - DELETED_AT_ONCE


class SlowStore(MemoryStore):
    """A store whose second deletion does not answer in time."""

    steps = 0

    async def delete_some(self, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
        self.steps += 1
        if self.steps == 2:
            raise DeadlineExceeded("the disk took longer than 1 s; the write may still take effect")
        return await super().delete_some(collection, doc_ids, condition)


async def test_a_deletion_of_which_a_step_is_late_says_what_the_others_have_done():
    store = SlowStore(limits=LIMITS, batch_bytes=1 << 20)
    await store.accept("job", "default", [document(f"d{n:04}") for n in range(COUNT)], NOW)
    with pytest.raises(DeadlineExceeded, match=f"may still take effect; {DELETED_AT_ONCE} documents are deleted"):
        await made(store).delete_all("default", [f"d{n:04}" for n in range(COUNT)])


async def test_documents_by_ids_are_there_once_and_within_the_limits():
    store = await filled(5)
    documents = made(store)
    found = await documents.documents("default", ["d0003", "x", "d0001", "d0003"])
    assert [view.doc_id for view in found] == ["d0003", "d0001"]
    assert await documents.delete_all("default", ["d0003", "d0003", "x"]) == 1
    assert await documents.documents("default", ["x"]) == []
    with pytest.raises(NotFound, match="nowhere"):
        await documents.documents("nowhere", ["x"])
    with pytest.raises(InvalidRequest, match="5 bytes") as caught:
        await made(store, answer_bytes=5).documents("default", ["d0001"])
    assert (caught.value.param, caught.value.code) == ("ids", "limit_exceeded")


@pytest.mark.parametrize(
    ("ids", "param", "code"),
    [
        ([], "ids", "invalid_field"),
        (["x"] * (MAX_IDS + 1), "ids", "limit_exceeded"),
        (["x", "a\n"], "ids[1]", "invalid_field"),
    ],
)
async def test_invalid_ids_are_refused(ids: list[str], param: str, code: str):
    documents = made(await filled(1))
    for call in (documents.documents, documents.delete_all):
        with pytest.raises(InvalidRequest) as caught:
            await call("default", ids)
        assert (caught.value.param, caught.value.code) == (param, code)


async def test_a_page_goes_on_until_it_is_full_or_late():
    store = await filled(900)
    condition = read_filter(b'{"n": {"$in": [1, 899]}}')
    page = await made(store).page("default", "", 2, condition)
    assert [view.doc_id for view in page.documents] == ["d0001", "d0899"]
    large = await filled(5, text="x" * (PAGE_BYTES // 2 + 1))
    first = await made(large).page("default", "", 5, EVERYTHING)
    assert (len(first.documents), first.after) == (2, "d0001")
    late = await made(large, clock=Clock(2.0)).page("default", "", 5, EVERYTHING)
    assert (len(late.documents), late.after) == (1, "d0000")
    with pytest.raises(NotFound, match="nowhere"):
        await made(store).page("nowhere", "", 5, EVERYTHING)
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest, match="1 to 1000"):
            await made(store).page("default", "", limit, EVERYTHING)
