"""The filter index over the feed of each store: it agrees with the predicate, before and after all kinds of writes."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem_gateway.errors import NotFound, NotReady
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.http.filters import read_filter
from tandem_gateway.index.filter_index import FilterFollower, FilterThread
from tests.gateway.filters.strategies import FILTERS, METADATA, expected
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import accept_in_two_passages
from tests.support.stores import NOW, document, ingest


@pytest.fixture
def follower(backend: Backend, store: Store) -> FilterFollower:
    return FilterFollower(backend.feed(store))


def in_time() -> bool:
    return False


async def documents_of(follower: FilterFollower, condition: bytes, name: str = "default") -> list[str]:
    """Return the ids of the documents whose passages match."""
    found = follower.matching(name, read_filter(condition), in_time)
    return sorted(view.doc_id for view in follower._feed.passages(found.tolist()).values())


writes = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), st.sampled_from("abcd"), METADATA),
        st.tuples(st.just("accept"), st.sampled_from("abcd"), METADATA),
        st.tuples(st.just("metadata"), st.sampled_from("abcd"), METADATA),
        st.tuples(st.just("delete"), st.sampled_from("abcd"), st.just({})),
        st.tuples(st.just("ask"), st.just(""), st.just({})),
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(writes, FILTERS)
async def test_it_agrees_with_the_predicate(
    backend: Backend, steps: list[tuple[str, str, dict[str, Any]]], condition: dict[str, Any]
):
    store = backend.open()
    follower = FilterFollower(backend.feed(store))
    parsed = read_filter(json.dumps(condition).encode())
    texts: dict[str, str] = {}
    for number, (step, doc_id, metadata) in enumerate(steps):
        if step == "ask":
            await agrees(store, follower, parsed, condition)
        elif step == "delete":
            await store.delete("default", doc_id)
        else:
            text = texts.get(doc_id, "t") if step == "metadata" else f"text {number}"
            texts[doc_id] = text
            made = [document(doc_id, text, json.dumps(metadata))]
            if step == "ingest":
                await ingest(store, made, job_id=f"job{number}")
            else:
                await store.accept(f"job{number}", "default", made, NOW)
    await agrees(store, follower, parsed, condition)
    await agrees(store, FilterFollower(backend.feed(store)), parsed, condition)


async def agrees(store: Store, follower: FilterFollower, parsed: Any, condition: dict[str, Any]) -> None:
    found = follower.matching("default", parsed, in_time).tolist()
    everything = follower.matching("default", EVERYTHING, in_time).tolist()
    assert everything == sorted(everything)
    views = follower._feed.passages(everything)
    assert len(views) == len(everything)
    assert found == [each for each in everything if expected(condition, json.loads(views[each].metadata))]
    for view in views.values():
        newest = await store.document("default", view.doc_id)
        assert newest is not None
        if newest.embedded:
            assert newest.metadata == view.metadata


async def test_the_first_passage_stands_for_a_document(backend: Backend, store: Store, follower: FilterFollower):
    first, _ = await accept_in_two_passages(backend, store, "a", "one ", "two", job_id="job")
    assert follower.matching("default", EVERYTHING, in_time).tolist() == [first]


async def test_collections_are_apart_and_may_be_new_again(store: Store, follower: FilterFollower):
    await ingest(store, [document("a", metadata='{"n":1}')])
    await ingest(store, [document("b", metadata='{"n":1}')], job_id="job2", collection="books")
    assert await documents_of(follower, b'{"n": 1}') == ["a"]
    assert await documents_of(follower, b'{"n": 1}', "books") == ["b"]
    with pytest.raises(NotFound, match="nowhere"):
        follower.matching("nowhere", EVERYTHING, in_time)
    await store.delete_collection("books")
    with pytest.raises(NotFound, match="books"):
        follower.matching("books", EVERYTHING, in_time)
    await ingest(store, [document("c", metadata='{"n":1}')], job_id="job3", collection="books")
    assert await documents_of(follower, b'{"n": 1}', "books") == ["c"]
    assert len(follower.followed) == 2


async def test_an_answer_is_the_same_object_until_something_changes(store: Store, follower: FilterFollower):
    await ingest(store, [document("a", metadata='{"n":1}')])
    await store.accept("job9", "books", [document("x")], NOW)
    condition = read_filter(b'{"n": 1}')
    first = follower.matching("default", condition, in_time)
    await store.accept("job10", "books", [document("y")], NOW)
    assert follower.matching("default", condition, in_time) is first
    await ingest(store, [document("b", metadata='{"n":1}')], job_id="job2")
    assert len(follower.matching("default", condition, in_time)) == 2


async def test_columns_whose_removals_the_store_forgot_are_built_again(store: Store, follower: FilterFollower):
    await ingest(store, [document("a"), document("b"), document("c")])
    assert await documents_of(follower, b"{}") == ["a", "b", "c"]
    await store.delete("default", "a")
    (record,) = [each for each in await store.collections() if each.name == "default"]
    await store.forget_removals(record.space_id, follower._feed.last_change())
    await store.delete("default", "b")
    assert await documents_of(follower, b"{}") == ["c"]


async def test_the_least_recently_used_columns_go_over_the_limit(backend: Backend, store: Store):
    for number, name in enumerate(("default", "books", "others")):
        await ingest(store, [document("a", metadata='{"n":1}')], job_id=f"job{number}", collection=name)
    follower = FilterFollower(backend.feed(store), max_bytes=1500)
    for name in ("default", "books", "default", "others"):
        assert await documents_of(follower, b'{"n": 1}', name) == ["a"]
    records = {each.name: each.collection_id for each in await store.collections()}
    assert follower.followed == [records["default"], records["others"]]


async def test_a_late_answer_keeps_what_was_read(store: Store, follower: FilterFollower):
    for start in range(0, 2400, 800):
        made = [document(f"d{number}") for number in range(start, start + 800)]
        await ingest(store, made, job_id=f"job{start}")
    turns = iter([False, True, False, True, False, False])
    with pytest.raises(NotReady, match="passage 2000 is done"):
        follower.matching("default", EVERYTHING, lambda: next(turns))
    assert len(follower.matching("default", EVERYTHING, lambda: next(turns))) == 2400


async def test_the_thread_answers_until_it_is_closed(backend: Backend, store: Store):
    await ingest(store, [document("a", metadata='{"n":1}'), document("b")])
    thread = FilterThread(lambda: backend.feed(store), max_queued=10)
    assert thread.bytes == 0
    assert len(await thread.matching("default", read_filter(b'{"n": 1}'), timeout=30.0)) == 1
    one_answer = thread.bytes
    assert one_answer > 0
    await thread.matching("default", EVERYTHING, timeout=30.0)
    assert thread.bytes > one_answer
    with pytest.raises(NotFound):
        await thread.matching("nowhere", EVERYTHING, timeout=30.0)
    thread.close()
    with pytest.raises(NotReady, match="shutting down"):
        await thread.matching("default", EVERYTHING, timeout=30.0)
