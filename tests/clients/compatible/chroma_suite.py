"""Chroma's ``HuggingFaceEmbeddingServer``, alone and as the embedding function of a collection."""

import chromadb
import pytest
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer
from service import GUARDED_URL, KEY, LONG, TEXTS, URL, check

KEY_VARIABLE = "A_KEY_FOR_CHROMA"
TOO_MANY = 2049


@pytest.fixture
def function():
    function = HuggingFaceEmbeddingServer(url=f"{URL}/embed")
    yield function
    function._session.close()


@pytest.fixture
def guarded(monkeypatch):
    """An embedding function with an API key, which Chroma reads from the environment."""
    made = []

    def make(key):
        monkeypatch.setenv(KEY_VARIABLE, key)
        made.append(HuggingFaceEmbeddingServer(url=f"{GUARDED_URL}/embed", api_key_env_var=KEY_VARIABLE))
        return made[-1]

    yield make
    for each in made:
        each._session.close()


def test_texts_are_embedded(function):
    check([vector.tolist() for vector in function(TEXTS)])
    check([vector.tolist() for vector in function.embed_query(TEXTS)])
    many = [f"chunk {number} of a document" for number in range(100)]
    assert len({tuple(vector.tolist()) for vector in function(many)}) == len(many)


def test_a_collection_of_chroma_finds_by_these_vectors(function):
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("texts", embedding_function=function)
    collection.add(ids=["pet", "cat", "tea"], documents=TEXTS)
    assert collection.query(query_texts=["brewing tea"], n_results=1)["ids"] == [["tea"]]
    assert sorted(collection.query(query_texts=["a kitten"], n_results=2)["ids"][0]) == ["cat", "pet"]


def test_a_refused_request_raises_an_error(function):
    """Chroma reads an error's body as vectors, so its error has not the gateway's message."""
    for texts in (["text"] * TOO_MANY, ["short", LONG]):
        with pytest.raises(ValueError, match="error"):
            function(texts)


def test_a_key_is_asked_for(guarded):
    check([vector.tolist() for vector in guarded(KEY)(TEXTS)])
    with pytest.raises(ValueError, match="error"):
        guarded("wrong")(TEXTS)
