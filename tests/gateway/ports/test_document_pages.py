"""The behaviour that all stores share for lists of documents, reads by ids, and deletions by ids or by a filter."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem_gateway.errors import TooManyBytes
from tandem_gateway.filters.tree import EVERYTHING, Filter
from tandem_gateway.http.filters import read_filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, PAGE_BYTES, PAGE_SCANNED
from tandem_gateway.records.documents import NewDocument
from tests.gateway.filters.strategies import FILTERS, METADATA, expected
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import counts
from tests.support.stores import NOW, document, embed_pending, ingest


def numbered(count: int, *, every: int = 1) -> list[NewDocument]:
    return [
        document(f"d{number:04}", f"text {number}", f'{{"n":{number},"odd":{str(bool(number % 2)).lower()}}}')
        for number in range(0, count, every)
    ]


async def all_ids(store: Store, condition: Filter = EVERYTHING, limit: int = 7, name: str = "default") -> list[str]:
    """Follow the pages, and return the ids found."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await store.page(name, after, limit, condition)
        assert page is not None
        assert len(page.documents) <= limit
        found += [view.doc_id for view in page.documents]
        after = page.after
    return found


async def delete_matching(store: Store, condition: Filter) -> int:
    deleted = 0
    after: str | None = ""
    while after is not None:
        page = await store.matching("default", after, condition)
        ids = page.ids
        while ids:
            step = await store.delete_some("default", ids, condition)
            assert step.done
            ids, deleted = ids[step.done :], deleted + step.deleted
        after = page.after
    return deleted


async def test_pages_have_each_document_once_in_the_order_of_ids(store: Store):
    ids = ["b", "a", "Z", "a/b", "é", "\U0001f600", "\ufffd", "aa", "0"]
    await ingest(store, [document(doc_id) for doc_id in ids])
    assert await all_ids(store) == sorted(ids)
    assert await all_ids(store, limit=1) == sorted(ids)
    assert await store.page("nowhere", "", 5, EVERYTHING) is None
    whole = await store.page("default", "", 9, EVERYTHING)
    assert whole is not None
    assert whole.after is None


async def test_a_page_has_the_newest_version_of_a_document_once(store: Store):
    await ingest(store, [document("a", "old", '{"v":1}'), document("b")])
    await store.accept("job2", "default", [document("a", "new", '{"v":2}'), document("c")], NOW)
    page = await store.page("default", "", 10, EVERYTHING)
    assert page is not None
    assert [(view.doc_id, view.text, view.embedded) for view in page.documents] == [
        ("a", "new", False),
        ("b", "text of b", True),
        ("c", "text of c", False),
    ]
    assert [view.coverage is None for view in page.documents] == [True, page.documents[1].coverage is None, True]
    assert await all_ids(store, read_filter(b'{"v": 1}')) == []
    assert await all_ids(store, read_filter(b'{"v": 2}')) == ["a"]
    assert page.documents[1] == await store.document("default", "b")


async def test_pages_are_stable_while_documents_are_written(store: Store):
    await ingest(store, numbered(20, every=2))
    first = await store.page("default", "", 4, EVERYTHING)
    assert first is not None
    assert first.after is not None
    # One before the cursor and one after it is new, another is replaced, and another deleted.
    await ingest(
        store, [document("d0001"), document("d0009"), document("d0000", "new"), document("d0012", "new")], "j2"
    )
    await store.delete("default", "d0014")
    rest: list[str] = []
    after: str | None = first.after
    while after is not None:
        page = await store.page("default", after, 4, EVERYTHING)
        assert page is not None
        rest += [view.doc_id for view in page.documents]
        after = page.after
    assert rest == ["d0008", "d0009", "d0010", "d0012", "d0016", "d0018"]


async def test_a_page_ends_early_after_many_documents_that_do_not_match(backend: Backend):
    store = backend.open()
    for start in range(0, PAGE_SCANNED + 100, 550):
        await store.accept(f"job{start}", "default", numbered(PAGE_SCANNED + 100)[start : start + 550], NOW)
        while await embed_pending(store):
            pass
    condition = read_filter(b'{"n": {"$in": [3, 1050]}}')
    first = await store.page("default", "", 10, condition)
    assert first is not None
    assert [view.doc_id for view in first.documents] == ["d0003"]
    assert first.after == f"d{PAGE_SCANNED - 1:04}"
    assert await all_ids(store, condition) == ["d0003", "d1050"]
    assert await delete_matching(store, condition) == 2


async def test_a_page_ends_early_after_its_bytes_but_has_one_document(store: Store):
    large = "x" * (PAGE_BYTES // 2 + 1)
    await ingest(store, [document("a", large * 3), document("b", large), document("c", large), document("d", "y")])
    sizes = []
    after: str | None = ""
    while after is not None:
        page = await store.page("default", after, 10, EVERYTHING)
        assert page is not None
        sizes.append([view.doc_id for view in page.documents])
        after = page.after
    assert sizes == [["a"], ["b"], ["c", "d"]]


async def test_the_metadata_of_all_documents_comes_in_pages(store: Store):
    await ingest(store, [document("b", metadata='{"n":2}'), document("a", metadata='{"n":1}')])
    await store.accept("job2", "default", [document("b", "newer", '{"n":3}')], NOW)
    page = await store.metadata("default", "")
    assert page is not None
    assert (page.metadata, page.after) == (['{"n":1}', '{"n":3}'], None)
    assert await store.metadata("nowhere", "") is None
    for start in range(0, PAGE_SCANNED + 50, 525):
        await store.accept(f"more{start}", "books", numbered(PAGE_SCANNED + 50)[start : start + 525], NOW)
        while await embed_pending(store):
            pass
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await store.metadata("books", after)
        assert page is not None
        assert len(page.metadata) <= PAGE_SCANNED
        found, after = found + page.metadata, page.after
    assert found == [each.metadata for each in numbered(PAGE_SCANNED + 50)]


async def test_documents_are_returned_in_the_order_of_their_ids_in_the_call(store: Store):
    await ingest(store, [document("a"), document("b")])
    await store.accept("job2", "default", [document("a", "newer")], NOW)
    found = await store.documents("default", ["b", "absent", "a"], 100)
    assert [(view.doc_id, view.text, view.embedded) for view in found] == [
        ("b", "text of b", True),
        ("a", "newer", False),
    ]
    assert await store.documents("nowhere", ["a"], 100) == []
    exact = sum(len(view.text) + len(view.metadata) for view in found)
    assert len(await store.documents("default", ["a", "b"], exact)) == 2
    with pytest.raises(TooManyBytes):
        await store.documents("default", ["a", "b"], exact - 1)


async def test_a_deletion_by_ids_takes_all_versions(store: Store):
    await ingest(store, [document("a", "old"), document("b"), document("c")])
    await store.accept("job2", "default", [document("a", "new"), document("d")], NOW)
    step = await store.delete_some("default", ["a", "absent", "d", "b"], EVERYTHING)
    assert (step.done, step.deleted) == (4, 3)
    assert await all_ids(store) == ["c"]
    assert await counts(store) == (1, 0)
    finished = await store.job("job2")
    assert finished is not None
    assert finished.finished_at is not None
    again = await store.delete_some("nowhere", ["a", "b"], EVERYTHING)
    assert (again.done, again.deleted) == (2, 0)


async def test_a_deletion_looks_again_whether_a_document_matches(store: Store):
    await ingest(store, [document("a", metadata='{"old":true}'), document("b", metadata='{"old":true}')])
    condition = read_filter(b'{"old": true}')
    page = await store.matching("default", "", condition)
    assert page.ids == ["a", "b"]
    await store.accept("job2", "default", [document("a", "another text", '{"old":false}')], NOW)
    step = await store.delete_some("default", page.ids, condition)
    assert (step.done, step.deleted) == (2, 1)
    assert await all_ids(store) == ["a"]
    assert (await store.matching("nowhere", "", condition)).ids == []


async def test_one_step_of_a_deletion_is_bounded(store: Store):
    await ingest(store, numbered(DELETED_AT_ONCE + 50))
    ids = [made.doc_id for made in numbered(DELETED_AT_ONCE + 50)]
    step = await store.delete_some("default", ids, EVERYTHING)
    assert (step.done, step.deleted) == (DELETED_AT_ONCE, DELETED_AT_ONCE)
    rest = await store.delete_some("default", ids[step.done :], EVERYTHING)
    assert (rest.done, rest.deleted) == (50, 50)
    assert await counts(store) == (0, 0)


documents = st.lists(METADATA, min_size=1, max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(documents, documents, FILTERS, FILTERS)
async def test_pages_and_deletions_agree_with_the_predicate(
    backend: Backend,
    metadatas: list[dict[str, Any]],
    newer: list[dict[str, Any]],
    listed: dict[str, Any],
    deleted: dict[str, Any],
):
    store = backend.open()
    held = {f"d{place}": metadata for place, metadata in enumerate(metadatas)}
    await ingest(store, [document(doc_id, metadata=json.dumps(metadata)) for doc_id, metadata in held.items()])
    # Of some documents only the metadata is new, and others wait for their vectors.
    changed = {f"d{place}": metadata for place, metadata in enumerate(newer)}
    await store.accept(
        "job2",
        "default",
        [
            document(doc_id, None if place % 2 else f"newer {doc_id}", json.dumps(metadata))
            for place, (doc_id, metadata) in enumerate(changed.items())
        ],
        NOW,
    )
    held |= changed
    condition = read_filter(json.dumps(listed).encode())
    assert await all_ids(store, condition, limit=3) == sorted(each for each in held if expected(listed, held[each]))
    gone = {each for each in held if expected(deleted, held[each])}
    assert await delete_matching(store, read_filter(json.dumps(deleted).encode())) == len(gone)
    assert await all_ids(store) == sorted(held.keys() - gone)


async def test_documents_that_do_not_match_are_left_out_and_their_size_does_not_count(store: Store):
    await ingest(store, [document("a", "x" * 1000, '{"n":1}'), document("b", "short", '{"n":2}')])
    condition = read_filter(b'{"n": 2}')
    found = await store.documents("default", ["a", "b", "absent"], 100, condition)
    assert [view.doc_id for view in found] == ["b"]
    with pytest.raises(TooManyBytes):
        await store.documents("default", ["a", "b"], 100)


async def test_the_versions_that_wait_are_those_without_vectors(store: Store):
    assert (await store.waiting("nowhere")).tolist() == []
    await ingest(store, [document("a", "one"), document("b", "two")])
    assert (await store.waiting("default")).tolist() == []
    await store.accept("another", "default", [document("b", "three"), document("c", "four")], NOW)
    waiting = await store.waiting("default")
    assert waiting.dtype == "uint64"
    assert len(waiting) == 2
    assert sorted(waiting.tolist()) == waiting.tolist()
    await embed_pending(store)
    assert (await store.waiting("default")).tolist() == []
