"""``tandem_client.llama_index`` with LlamaIndex' own index, retrievers and filters."""

from collections.abc import Callable

import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from service import GUARDED_URL, KEY

from tandem_client import Client, Forbidden, InvalidRequest
from tandem_client.llama_index import TandemVectorStore, to_filter

pytest_plugins = "adapter_tests"

NO_VECTORS = MockEmbedding(embed_dim=1)


@pytest.fixture
def store(client: Client, collection: str) -> TandemVectorStore:
    return TandemVectorStore(collection=collection, client=client)


def node(name: str, text: str, source: str = "book", **metadata: object) -> TextNode:
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    return TextNode(id_=name, text=text, metadata=metadata, relationships=relationships)


PETS = [
    node("mat", "The cat sat on the mat.", page=1, tags=["pets", "prose"]),
    node("rug", "A dog sleeps on the rug.", page=2, tags=["pets"]),
    node("tea", "Steep the leaves for three minutes.", "kitchen", page=3),
]


def ids(store: TandemVectorStore, text: str | None, **query: object) -> list[str]:
    found = store.query(VectorStoreQuery(query_str=text, **query))
    assert len(found.nodes) == len(found.similarities) == len(found.ids)
    assert list(found.similarities) == sorted(found.similarities, reverse=True) or "mode" in query
    return found.ids


def test_nodes_come_back_as_they_were(store: TandemVectorStore) -> None:
    assert store.add(PETS) == ["mat", "rug", "tea"]
    found = store.get_nodes(["tea", "mat", "gone"])
    assert [one.to_dict() for one in found] == [PETS[2].to_dict(), PETS[0].to_dict()]
    assert len(store.get_nodes()) == 3
    assert store.query(VectorStoreQuery(query_str="a cat")).nodes[0].ref_doc_id == "book"


@pytest.mark.parametrize("mode", ["default", "hybrid", "semantic_hybrid", "sparse", "text_search", "mmr"])
def test_every_mode_of_tandem_finds(store: TandemVectorStore, mode: str) -> None:
    store.add(PETS)
    assert ids(store, "leaves", mode=VectorStoreQueryMode(mode), similarity_top_k=1, alpha=0.5) == ["tea"]
    assert ids(store, "leaves", mode=VectorStoreQueryMode(mode), filters=eq("page", 1), similarity_top_k=9) in (
        ["mat"],
        [],
    )


@pytest.mark.parametrize("mode", ["svm", "linear_regression"])
def test_other_modes_are_refused(store: TandemVectorStore, mode: str) -> None:
    with pytest.raises(ValueError, match=f"no queries of the mode {mode}"):
        ids(store, "x", mode=VectorStoreQueryMode(mode))


def test_a_query_needs_a_text_or_a_vector(store: TandemVectorStore, client: Client) -> None:
    store.add(PETS)
    (vector,) = client.embed(["a hot drink of leaves"])
    assert ids(store, None, query_embedding=vector) == ["tea"]
    with pytest.raises(ValueError, match="needs a text"):
        ids(store, None)
    with pytest.raises(ValueError, match="needs a text"):
        ids(store, None, query_embedding=vector, mode=VectorStoreQueryMode.HYBRID)
    with pytest.raises(InvalidRequest, match="vector"):
        ids(store, None, query_embedding=[1.0])


def eq(key: str, value: object) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("==", 1, ["mat"]),
        ("!=", 1, ["rug", "tea"]),
        (">", 1, ["rug", "tea"]),
        (">=", 2, ["rug", "tea"]),
        ("<", 2, ["mat"]),
        ("<=", 2, ["mat", "rug"]),
        ("in", [1, 3], ["mat", "tea"]),
        ("nin", [1, 3], ["rug"]),
    ],
)
def test_operators(store: TandemVectorStore, operator: str, value: object, expected: list[str]) -> None:
    store.add(PETS)
    filters = MetadataFilters(filters=[MetadataFilter(key="page", value=value, operator=FilterOperator(operator))])
    assert [one.node_id for one in store.get_nodes(filters=filters)] == expected
    assert sorted(ids(store, "x", filters=filters, similarity_top_k=9)) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("contains", "prose", ["mat"]),
        ("any", ["prose", "pets"], ["mat", "rug"]),
        ("all", ["prose", "pets"], ["mat"]),
        ("any", [], []),
        ("all", [], ["mat", "rug", "tea"]),
    ],
)
def test_operators_of_lists(store: TandemVectorStore, operator: str, value: object, expected: list[str]) -> None:
    store.add(PETS)
    filters = MetadataFilters(filters=[MetadataFilter(key="tags", value=value, operator=FilterOperator(operator))])
    assert [one.node_id for one in store.get_nodes(filters=filters)] == expected


@pytest.mark.parametrize(("condition", "expected"), [("and", []), ("or", ["mat", "rug"]), ("not", ["tea"])])
def test_conditions(store: TandemVectorStore, condition: str, expected: list[str]) -> None:
    store.add(PETS)
    one, other = MetadataFilter(key="page", value=1), MetadataFilter(key="page", value=2)
    filters = MetadataFilters(filters=[one, other], condition=FilterCondition(condition))
    assert [found.node_id for found in store.get_nodes(filters=filters)] == expected
    nested = MetadataFilters(filters=[filters, MetadataFilter(key="ref_doc_id", value="book")])
    assert [found.node_id for found in store.get_nodes(filters=nested)] == [name for name in expected if name != "tea"]


@pytest.mark.parametrize("operator", ["text_match", "text_match_insensitive", "is_empty"])
def test_other_operators_are_refused(operator: str) -> None:
    with pytest.raises(ValueError, match=f"page: Tandem has no operator {operator}"):
        to_filter(MetadataFilters(filters=[MetadataFilter(key="page", value="x", operator=FilterOperator(operator))]))


def test_a_query_may_be_among_some_nodes_or_documents(store: TandemVectorStore) -> None:
    store.add(PETS)
    assert ids(store, "a cat", node_ids=["rug", "tea"], similarity_top_k=1) == ["rug"]
    assert ids(store, "a cat", doc_ids=["kitchen"], similarity_top_k=9) == ["tea"]
    assert ids(store, "a cat", node_ids=[], doc_ids=[], similarity_top_k=1) == ["mat"]


async def test_nodes_are_deleted(store: TandemVectorStore) -> None:
    assert await store.async_add(PETS) == ["mat", "rug", "tea"]
    store.delete("kitchen")
    assert [one.node_id for one in await store.aget_nodes()] == ["mat", "rug"]
    store.delete_nodes(["mat"], filters=eq("page", 2))
    await store.adelete_nodes()
    assert len(store.get_nodes()) == 2
    await store.adelete_nodes(["mat"])
    assert (await store.aquery(VectorStoreQuery(query_str="x", similarity_top_k=9))).ids == ["rug"]
    await store.aclear()
    assert store.get_nodes() == []
    await store.adelete("nothing")


def test_a_collection_that_is_not_there_yet_is_empty(store: TandemVectorStore) -> None:
    assert ids(store, "x") == []
    assert store.get_nodes() == store.get_nodes(["a"]) == []
    store.delete("x")
    store.delete_nodes(["x"])
    store.clear()


async def test_an_index_retrieves(store: TandemVectorStore) -> None:
    documents = [Document(text=one.text, metadata={"page": number}) for number, one in enumerate(PETS)]
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=NO_VECTORS)
    index = VectorStoreIndex.from_vector_store(store, embed_model=NO_VECTORS)
    retriever = index.as_retriever(similarity_top_k=1, filters=eq("page", 2))
    assert [found.node.get_content() for found in retriever.retrieve("a pet")] == [PETS[2].text]
    found = await index.as_retriever(similarity_top_k=1).aretrieve("a cat")
    assert found[0].node.get_content() == PETS[0].text
    index.delete_ref_doc(found[0].node.ref_doc_id)
    assert len(store.get_nodes()) == 2


def test_a_key_of_the_role_search_reads_only() -> None:
    with Client(GUARDED_URL, KEY) as client:
        store = TandemVectorStore(collection="books", client=client)
        assert ids(store, "x") == []
        with pytest.raises(Forbidden):
            store.add(PETS)


def test_the_example_of_the_page_is_true(check_example: Callable[[str], None]) -> None:
    check_example("LlamaIndex")
