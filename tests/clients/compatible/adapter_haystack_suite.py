"""``tandem_client.haystack``: Haystack's own tests of document stores, and pipelines."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from haystack import Pipeline
from haystack.dataclasses import ByteStream, Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing.document_store import (
    CountDocumentsByFilterTest,
    DeleteAllTest,
    DeleteByFilterTest,
    DocumentStoreBaseTests,
)
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
)
from haystack.utils import Secret
from service import GUARDED_URL, KEY, URL

from tandem_client import Client, Forbidden
from tandem_client.haystack import TandemDocumentStore, TandemRetriever

pytest_plugins = "adapter_tests"

PETS = [
    Document(id="mat", content="The cat sat on the mat.", meta={"page": 1}),
    Document(id="rug", content="A dog sleeps on the rug.", meta={"page": 2}),
    Document(id="tea", content="Steep the leaves for three minutes.", meta={"page": 3}),
]


@pytest.fixture
def document_store(client: Client, collection: str) -> TandemDocumentStore:
    return TandemDocumentStore(collection=collection, client=client)


def plain(documents: list[Document]) -> list[dict[str, Any]]:
    """Documents in the order of their ids, without what the store does not keep: embeddings and the order."""
    return [replace(one, embedding=None).to_dict() for one in sorted(documents, key=lambda one: one.id)]


class AsStored:
    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert plain(received) == plain(expected)


class TestStandard(AsStored, DocumentStoreBaseTests, DeleteByFilterTest, CountDocumentsByFilterTest):
    @pytest.fixture
    def document_store(self, client: Client, collection: str) -> TandemDocumentStore:
        return TandemDocumentStore(collection=collection, client=client)

    def test_write_documents(self, document_store: TandemDocumentStore) -> None:
        assert document_store.write_documents(PETS[:1]) == 1
        with pytest.raises(DuplicateDocumentError, match="mat"):
            document_store.write_documents(PETS)
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([PETS[1], PETS[1]])
        assert document_store.count_documents() == 1


# Haystack's tests of filters run once: the asynchronous method calls the other in a thread.
class TestStandardAsync(
    AsStored,
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: TandemDocumentStore) -> None:
        assert await document_store.write_documents_async(PETS[:1]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async(PETS[:1])


class TestDeleteAll:
    """Haystack's tests without those that create an index again, which the store cannot do."""

    test_delete_all = staticmethod(DeleteAllTest.test_delete_all_documents)
    test_delete_all_of_an_empty_store = staticmethod(DeleteAllTest.test_delete_all_documents_empty_store)


def test_skip_keeps_the_first(document_store: TandemDocumentStore) -> None:
    twice = [PETS[0], replace(PETS[0], content="another"), PETS[1]]
    assert document_store.write_documents(twice, policy=DuplicatePolicy.SKIP) == 2
    assert document_store.write_documents([*twice, PETS[2]], policy=DuplicatePolicy.SKIP) == 1
    assert plain(document_store.filter_documents()) == plain(PETS)


@pytest.mark.parametrize(
    "document", [Document(id="x"), Document(id="x", content=" "), Document(id="x", blob=ByteStream(b"x"))]
)
def test_a_document_without_a_text_is_refused(document_store: TandemDocumentStore, document: Document) -> None:
    with pytest.raises(ValueError, match="document x: a content was expected"):
        document_store.write_documents([*PETS, document])
    assert document_store.count_documents() == 0


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"field": "meta.page", "operator": "in", "value": [1, None]}, ["a", "b", "c"]),
        ({"field": "meta.page", "operator": "not in", "value": [1, None]}, ["d"]),
        ({"field": "page", "operator": "==", "value": 2}, ["d"]),
        ({"operator": "OR", "conditions": []}, []),
        ({"operator": "AND", "conditions": []}, ["a", "b", "c", "d"]),
        ({"operator": "NOT", "conditions": []}, []),
    ],
)
def test_filters_beyond_the_standard_tests(
    document_store: TandemDocumentStore, filters: dict[str, Any], expected: list[str]
) -> None:
    metas = {"a": {}, "b": {"page": None}, "c": {"page": 1}, "d": {"page": 2}}
    document_store.write_documents([Document(id=name, content=name, meta=meta) for name, meta in metas.items()])
    assert [one.id for one in document_store.filter_documents(filters)] == expected
    assert document_store.count_documents_by_filter(filters) == len(expected)


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.page", "operator": "like", "value": "x"},
        {"field": "meta.page", "operator": "==", "value": [1]},
        {"field": "meta.page", "operator": ">", "value": True},
        {"field": "", "operator": "==", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": {}},
        {"operator": "AND", "conditions": ["x"]},
    ],
)
def test_other_filters_are_refused(document_store: TandemDocumentStore, filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        document_store.filter_documents(filters)


async def test_a_pipeline_retrieves_also_after_a_trip_through_yaml(collection: str) -> None:
    store = TandemDocumentStore(URL, collection)
    store.write_documents(PETS)
    pipeline = Pipeline()
    two = {"field": "meta.page", "operator": ">=", "value": 2}
    pipeline.add_component("retriever", TandemRetriever(store, filters=two, top_k=1, mode="dense"))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["tandem_client.haystack"])
    for one in (pipeline, again):
        (found,) = one.run({"retriever": {"query": "a pet"}})["retriever"]["documents"]
        assert (found.id, found.content, found.meta) == ("rug", PETS[1].content, {"page": 2})
        assert found.score is not None
    retriever = TandemRetriever(store)
    (found,) = (await retriever.run_async("a cat", top_k=1))["documents"]
    assert found.id == "mat"
    assert retriever.run("a cat", filters={"field": "page", "operator": "==", "value": 9}) == {"documents": []}


def test_a_key_is_kept_out_of_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="token"):
        TandemDocumentStore(URL, api_key=Secret.from_token("secret")).to_dict()
    monkeypatch.setenv("SHOP_KEY", KEY)
    store = TandemDocumentStore(GUARDED_URL, "books", api_key=Secret.from_env_var("SHOP_KEY"))
    assert KEY not in str(store.to_dict())
    again = TandemDocumentStore.from_dict(store.to_dict())
    assert again.count_documents() == 0
    with pytest.raises(Forbidden):
        again.write_documents(PETS)


def test_the_example_of_the_page_is_true(check_example: Callable[[str], None]) -> None:
    check_example("Haystack")
