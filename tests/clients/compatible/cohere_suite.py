"""Cohere's SDK: its clients of both versions of the rerank route."""

import cohere
import httpx
import pytest
from cohere.errors import UnauthorizedError, UnprocessableEntityError
from service import GUARDED_URL, KEY, LONG, MODEL, TEXTS, URL

QUERY = "a cat"


@pytest.fixture
def http():
    with httpx.Client(timeout=60) as http:
        yield http


@pytest.fixture(params=[cohere.Client, cohere.ClientV2])
def client_type(request):
    return request.param


def client_of(client_type, http, url=URL, key="none"):
    return client_type(key, base_url=url, httpx_client=http, max_retries=0)


def test_documents_are_ordered_by_their_relevance(client_type, http):
    client = client_of(client_type, http)
    reply = client.rerank(model=MODEL, query=QUERY, documents=TEXTS)
    assert sorted(each.index for each in reply.results) == [0, 1, 2]
    scores = [each.relevance_score for each in reply.results]
    assert scores == sorted(scores, reverse=True)
    assert reply.results[0].index == 1
    assert reply.id
    assert len(client.rerank(model=MODEL, query=QUERY, documents=TEXTS, top_n=1).results) == 1


def test_version_1_returns_documents(http):
    client = client_of(cohere.Client, http)
    reply = client.rerank(model=MODEL, query=QUERY, documents=[{"text": text} for text in TEXTS], return_documents=True)
    assert reply.results[0].document.text == TEXTS[1]


def test_a_long_document_is_told(http):
    reply = client_of(cohere.ClientV2, http).rerank(model=MODEL, query=QUERY, documents=[LONG, TEXTS[1]])
    assert reply.results[0].index == 1
    assert "documents[0]" in reply.meta.warnings[0]


def test_errors_are_told(client_type, http):
    with pytest.raises(UnprocessableEntityError, match="query") as refused:
        client_of(client_type, http).rerank(model=MODEL, query="", documents=TEXTS)
    assert "query" in refused.value.body["message"]


def test_a_key_is_asked_for(client_type, http):
    client = client_of(client_type, http, GUARDED_URL, KEY)
    assert len(client.rerank(model=MODEL, query=QUERY, documents=TEXTS).results) == len(TEXTS)
    with pytest.raises(UnauthorizedError):
        client_of(client_type, http, GUARDED_URL, "wrong").rerank(model=MODEL, query=QUERY, documents=TEXTS)


def test_the_model_that_serves_answers_for_a_model_of_cohere(client_type, http):
    reply = client_of(client_type, http).rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    assert len(reply.results) == len(TEXTS)
