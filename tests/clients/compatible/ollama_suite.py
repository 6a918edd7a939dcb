"""Ollama's SDK."""

import ollama
import pytest
from service import DIM, GUARDED_URL, KEY, LONG, MODEL, TEXTS, URL, check


@pytest.fixture
def client():
    client = ollama.Client(host=URL, trust_env=False)
    yield client
    client._client.close()


def test_lists_and_single_texts(client):
    reply = client.embed(model="all-minilm", input=TEXTS)
    check(reply.embeddings)
    assert reply.model == MODEL
    assert reply.total_duration > 0
    assert reply.prompt_eval_count > len(TEXTS)
    assert len(client.embed(model="all-minilm", input=TEXTS[0], truncate=True, keep_alive="5m").embeddings) == 1


def test_the_older_call(client):
    check([client.embeddings(model="all-minilm", prompt=text).embedding for text in TEXTS])


def test_errors_are_told(client):
    with pytest.raises(ollama.ResponseError, match="256") as refused:
        client.embed(model="x", input=[LONG], truncate=False)
    assert refused.value.status_code == 422
    with pytest.raises(ollama.ResponseError, match="there is nothing at /api/chat") as missing:
        client.chat(model="x", messages=[{"role": "user", "content": "hello"}])
    assert missing.value.status_code == 404


def test_the_models_are_listed(client):
    assert [each.model for each in client.list().models] == [MODEL, MODEL.rsplit("/", maxsplit=1)[-1]]


async def test_the_asynchronous_client():
    client = ollama.AsyncClient(host=URL, trust_env=False)
    reply = await client.embed(model="x", input=TEXTS, dimensions=DIM)
    check(reply.embeddings)
    await client._client.aclose()


def test_a_key_is_asked_for():
    client = ollama.Client(host=GUARDED_URL, trust_env=False, headers={"authorization": f"Bearer {KEY}"})
    check(client.embed(model="x", input=TEXTS).embeddings)
    client._client.close()
    client = ollama.Client(host=GUARDED_URL, trust_env=False, headers={"authorization": "Bearer wrong"})
    with pytest.raises(ollama.ResponseError) as refused:
        client.embed(model="x", input=TEXTS)
    assert refused.value.status_code == 401
    client._client.close()
