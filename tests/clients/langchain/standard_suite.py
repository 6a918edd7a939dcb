"""LangChain's standard tests of vector stores, and a few of the adapter's own, against the gateway at TANDEM_TEST_URL.

They run in an environment of their own: ``test_langchain.py`` starts them. None is skipped, and none is expected to
fail. LangChain's tests give a store a fake embedding model and never look at its vectors; Tandem embeds with its own
model, so the store takes no other. What LangChain's suite leaves out because it needs vectors, the adapter refuses:
``test_what_needs_vectors_is_refused``.
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from langchain_core.documents import Document
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from tandem_vectorstore import TandemError, TandemVectorStore

URL = os.environ["TANDEM_TEST_URL"]
API_PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"

PETS = [
    Document(id="mat", page_content="The cat sat on the mat.", metadata={"page": 1}),
    Document(id="rug", page_content="A dog sleeps on the rug.", metadata={"page": 2}),
    Document(id="tea", page_content="Steep the leaves for three minutes.", metadata={"page": 3}),
]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def client() -> Iterator[httpx2.Client]:
    # A proxy of the environment must not stand between the client and a server on the loopback.
    with httpx2.Client(trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def collection(client: httpx2.Client) -> Iterator[str]:
    """A collection name that no other test uses."""
    name = f"langchain-{next(_numbers)}"
    yield name
    assert client.delete(f"{URL}/v1/collections/{name}").status_code in (200, 404)  # the first texts create it


@pytest.fixture
def store(client: httpx2.Client, collection: str) -> TandemVectorStore:
    return TandemVectorStore(URL, collection, client=client)


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, store: TandemVectorStore) -> TandemVectorStore:
        return store


def test_from_documents_keeps_ids_and_metadata(client: httpx2.Client, collection: str) -> None:
    store = TandemVectorStore.from_documents(PETS, None, url=URL, collection=collection, client=client)
    assert store.get_by_ids(["tea", "mat", "tea", "gone"]) == [PETS[2], PETS[0]]


async def test_afrom_texts_makes_the_ids(client: httpx2.Client, collection: str) -> None:
    texts = [pet.page_content for pet in PETS]
    store = await TandemVectorStore.afrom_texts(texts, None, url=URL, collection=collection, client=client)
    (found,) = await store.asimilarity_search("a hot drink", k=1)
    assert found.page_content == PETS[2].page_content
    assert found.id
    assert found.metadata == {}


def test_more_texts_than_one_request_takes_are_stored_in_order(
    store: TandemVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tandem_vectorstore._INGEST_DOCUMENTS", 2)
    monkeypatch.setattr("tandem_vectorstore._IDS_A_READ", 2)
    monkeypatch.setattr("tandem_vectorstore._IDS_A_DELETION", 2)
    texts = [f"sentence number {number}" for number in range(5)]
    ids = store.add_texts(texts)
    assert [document.page_content for document in store.get_by_ids(ids)] == texts
    assert store.delete(ids[:3])
    assert [document.id for document in store.get_by_ids(ids)] == ids[3:]


def test_a_search_takes_the_fields_of_the_api(store: TandemVectorStore) -> None:
    store.add_documents(PETS)
    assert store.similarity_search("a pet", k=3, filter={"page": {"$gte": 2}}, mode="dense") == PETS[1:]
    assert store.similarity_search("leaves", mode="lexical") == [PETS[2]]
    with pytest.raises(TandemError, match="answered 422: unknown field: score_threshold"):
        store.similarity_search("a pet", score_threshold=0.5)


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


def test_what_needs_vectors_is_refused(store: TandemVectorStore) -> None:
    assert store.embeddings is None
    with pytest.raises(NotImplementedError):
        store.similarity_search_by_vector([0.0] * 384)
    with pytest.raises(NotImplementedError):
        store.max_marginal_relevance_search("a pet")


def test_the_example_of_the_api_page_is_true(
    client: httpx2.Client, collection: str, capsys: pytest.CaptureFixture[str]
) -> None:
    section = API_PAGE.read_text().split("\n## LangChain\n")[1].split("\n## ")[0]
    ((example, printed),) = re.findall(r"^```python\n(.*?)# (.*?)\n```$", section, re.MULTILINE | re.DOTALL)
    real = example.replace("http://localhost:8000", URL).replace('"books"', f'"{collection}"')
    assert real.count(URL) == real.count(collection) == 1
    exec(compile(real, API_PAGE, "exec"), {})
    assert capsys.readouterr().out == f"{printed}\n"
