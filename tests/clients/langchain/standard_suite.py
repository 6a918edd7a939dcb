"""LangChain's standard tests of vector stores and embeddings, and a few of the adapter's own, at TANDEM_TEST_URL.

They run in an environment of their own: ``test_langchain.py`` starts them. None is skipped, and none is expected to
fail. LangChain's tests give a store a fake embedding model and never look at its vectors; Tandem embeds with its own
model, so the store takes no other.
"""

import os
import re
from collections.abc import AsyncIterator, Callable

import pytest
from langchain_core.documents import Document
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from tandem_client import AsyncClient, Client, InvalidRequest, TandemError
from tandem_client.langchain import TandemEmbeddings, TandemVectorStore

pytest_plugins = "adapter_tests"

URL = os.environ["TANDEM_TEST_URL"]

PETS = [
    Document(id="mat", page_content="The cat sat on the mat.", metadata={"page": 1}),
    Document(id="rug", page_content="A dog sleeps on the rug.", metadata={"page": 2}),
    Document(id="tea", page_content="Steep the leaves for three minutes.", metadata={"page": 3}),
]


@pytest.fixture
def store(client: Client, collection: str) -> TandemVectorStore:
    return TandemVectorStore(collection=collection, client=client)


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, store: TandemVectorStore) -> TandemVectorStore:
        return store


class TestStandardWithAnAsynchronousClient(VectorStoreIntegrationTests):
    @pytest.fixture
    async def vectorstore(self, client: Client, collection: str) -> AsyncIterator[TandemVectorStore]:
        async with AsyncClient(URL) as async_client:
            yield TandemVectorStore(collection=collection, client=client, async_client=async_client)


class TestStandardEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[TandemEmbeddings]:
        return TandemEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, str]:
        return {"url": URL}


class TestStandardUnits(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[TandemEmbeddings]:
        return TandemEmbeddings

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        return {"TANDEM_URL": "http://localhost:1"}, {}, {"url": "http://localhost:1"}


def test_from_documents_keeps_ids_and_metadata(client: Client, collection: str) -> None:
    store = TandemVectorStore.from_documents(PETS, None, collection=collection, client=client)
    assert store.get_by_ids(["tea", "mat", "tea", "gone"]) == [PETS[2], PETS[0]]


async def test_afrom_texts_makes_the_ids(client: Client, collection: str) -> None:
    texts = [pet.page_content for pet in PETS]
    store = await TandemVectorStore.afrom_texts(texts, None, collection=collection, client=client)
    (found,) = await store.asimilarity_search("a hot drink", k=1)
    assert found.page_content == PETS[2].page_content
    assert found.id
    assert found.metadata == {}


def test_more_texts_than_one_request_takes_are_stored_in_order(
    store: TandemVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem_client.storing.IDS_A_READ", 2)
    monkeypatch.setattr("tandem_client.storing.IDS_A_DELETION", 2)
    monkeypatch.setattr("tandem_client.storing.TEXTS_A_REQUEST", 2)
    texts = [f"sentence number {number}" for number in range(600)]
    ids = store.add_texts(texts)
    assert [document.page_content for document in store.get_by_ids(ids[-5:])] == texts[-5:]
    assert store.delete(ids[:3])
    assert [document.id for document in store.get_by_ids(ids[:5])] == ids[3:5]
    assert len(store.embeddings.embed_documents(texts[:5])) == 5


def test_a_search_takes_the_fields_of_the_api(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    assert store.similarity_search("a pet", k=3, filter={"page": {"$gte": 2}}, mode="dense") == PETS[1:]
    assert store.similarity_search("leaves", mode="lexical") == [PETS[2]]
    with pytest.raises(TypeError, match="score_threshold"):
        store.similarity_search("a pet", score_threshold=0.5)
    with pytest.raises(InvalidRequest, match="min_score"):
        store.similarity_search("a pet", min_score=7)


def test_scores_descend(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    scores = [score for _, score in store.similarity_search_with_score("The cat sat on the mat.", k=3)]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


async def test_relevance_is_the_cosine(store: TandemVectorStore) -> None:
    await store.aadd_documents(PETS)
    for found in (
        store.similarity_search_with_relevance_scores("The cat sat on the mat.", k=3),
        await store.asimilarity_search_with_relevance_scores("The cat sat on the mat.", k=3),
    ):
        assert found[0] == (PETS[0], pytest.approx(1, abs=1e-3))
        assert all(0 <= score <= 1 for _, score in found)
    with pytest.raises(TypeError, match="mode"):
        store.similarity_search_with_relevance_scores("a pet", mode="lexical")


def test_a_retriever_with_a_threshold_leaves_out_what_is_unlike(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.8})
    assert retriever.invoke("The cat sat on the mat.") == [PETS[0]]


def test_delete_without_ids_deletes_all(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    assert store.delete([])
    assert len(store.similarity_search("a pet")) == 3
    assert store.delete()
    assert store.similarity_search("a pet") == []


def test_a_collection_that_the_first_texts_have_yet_to_make_is_empty(store: TandemVectorStore) -> None:
    assert store.similarity_search("a pet") == []
    assert store.get_by_ids(["mat"]) == []
    assert store.delete(["mat"])
    assert store.delete()
    store.add_documents(PETS)
    assert store.get_by_ids(["mat"]) == PETS[:1]


def test_a_refused_text_is_named(store: TandemVectorStore) -> None:
    with pytest.raises(TandemError, match=re.escape("documents[1].text")):
        store.add_texts(["good", " "])
    with pytest.raises(ValueError, match="1 ids were given for 2 texts"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(TypeError, match="batch_size"):
        store.add_texts(["a"], batch_size=1)
    assert store.similarity_search("good") == []


async def test_searches_by_vector_take_those_of_the_gateway(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    vector = await store.embeddings.aembed_query("a hot drink of leaves")
    assert vector == store.embeddings.embed_query("a hot drink of leaves")
    assert store.similarity_search_by_vector(vector, k=1) == [PETS[2]]
    assert await store.asimilarity_search_by_vector(vector, k=1, filter={"page": 2}) == [PETS[1]]
    with pytest.raises(InvalidRequest, match="vector"):
        store.similarity_search_by_vector([1.0])


async def test_diversity_chooses_documents_unlike_each_other(store: TandemVectorStore) -> None:
    twin = Document(id="twin", page_content="The cat sat on the mat!", metadata={"page": 9})
    store.add_documents([*PETS, twin])
    query = "The cat sat on the mat."
    assert {found.id for found in store.similarity_search(query, k=2, mode="dense")} == {"mat", "twin"}
    vector = store.embeddings.embed_query(query)
    for found in (
        store.max_marginal_relevance_search(query, k=2, lambda_mult=0.3),
        await store.amax_marginal_relevance_search(query, k=2, lambda_mult=0.3),
        store.max_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=0.3),
        await store.amax_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=0.3),
    ):
        assert found[0].id in ("mat", "twin")
        assert found[1].id in ("rug", "tea")
    assert {found.id for found in store.max_marginal_relevance_search(query, k=2, lambda_mult=1.0)} == {"mat", "twin"}


def test_a_retriever_searches(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    for search_type in ("similarity", "mmr"):
        retriever = store.as_retriever(search_type=search_type, search_kwargs={"k": 1, "filter": {"page": 3}})
        assert retriever.invoke("a pet") == [PETS[2]]


def test_the_example_of_the_page_is_true(check_example: Callable[[str], None]) -> None:
    check_example("LangChain")
