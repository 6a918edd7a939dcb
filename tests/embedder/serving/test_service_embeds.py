"""A real embedder over a real socket: its answers in both syntaxes, for single requests and in batches."""

import asyncio
import random
from typing import Any

import httpx2 as httpx
import msgspec
import numpy as np
import pytest

from tandem_contract.embed import EmbedReply, PackedEmbedReply
from tests.support.processes import ServiceProcess

MSGPACK = "application/msgpack"
WORDS = "the quick brown fox jumps over a lazy dog while seven wizards box with jugs of vexing quartz".split()  # noqa: SIM905


def text_of(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


TEXTS = [text_of(1 + (seed * 37) % 200, seed) for seed in range(60)]


def embed_json(client: httpx.Client, texts: list[str], **fields: Any) -> EmbedReply:
    response = client.post("/embed", json={"texts": texts, **fields})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return msgspec.json.decode(response.content, type=EmbedReply)


def unpack(response: httpx.Response) -> tuple[PackedEmbedReply, np.ndarray]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == MSGPACK
    reply = msgspec.msgpack.decode(response.content, type=PackedEmbedReply)
    return reply, np.frombuffer(reply.embeddings, dtype="<f4").reshape(-1, reply.dim)


def embed_packed(client: httpx.Client, texts: list[str], **fields: Any) -> tuple[PackedEmbedReply, np.ndarray]:
    body = msgspec.msgpack.encode({"texts": texts, **fields})
    return unpack(client.post("/embed", content=body, headers={"content-type": MSGPACK, "accept": MSGPACK}))


def test_readyz_and_embed_name_the_same_model(client: httpx.Client, served_precision: str):
    ready = client.get("/readyz").json()
    reply = embed_json(client, ["hello"])
    assert ready["status"] == "ready"
    assert (ready["model"], ready["fingerprint"], ready["dim"]) == (reply.model, reply.fingerprint, reply.dim)
    assert (ready["max_seq_length"], ready["precision"]) == (256, served_precision)
    assert client.get("/livez").json() == {"status": "alive"}


def test_vectors_have_unit_length_and_similar_texts_are_near(client: httpx.Client):
    reply = embed_json(client, ["How do I bake bread?", "A recipe for a loaf", "The stock market fell today"])
    vectors = np.array(reply.embeddings)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_json_and_messagepack_agree_to_the_bit(client: httpx.Client):
    texts = TEXTS[:20]
    json = embed_json(client, texts)
    packed, vectors = embed_packed(client, texts)
    assert np.array(json.embeddings, dtype=np.float32).tobytes() == packed.embeddings
    assert vectors.shape == (20, json.dim)
    assert (json.tokens, json.truncated, json.fingerprint) == (packed.tokens, packed.truncated, packed.fingerprint)


def test_the_syntax_of_question_and_answer_are_chosen_apart(client: httpx.Client):
    packed, vectors = unpack(client.post("/embed", json={"texts": ["a"]}, headers={"accept": MSGPACK}))
    body = msgspec.msgpack.encode({"texts": ["a"]})
    json = client.post("/embed", content=body, headers={"content-type": MSGPACK, "accept": "*/*"})
    assert np.array_equal(np.array(json.json()["embeddings"], dtype=np.float32), vectors)
    assert packed.tokens == json.json()["tokens"]


def test_a_content_type_is_required(client: httpx.Client):
    del client.headers["content-type"]
    response = client.post("/embed", content=b'{"texts":["a"]}')
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


async def test_a_text_has_the_same_vector_in_any_concurrent_company(embedder: ServiceProcess, client: httpx.Client):
    alone = {text: embed_packed(client, [text])[1][0] for text in TEXTS}
    rng = random.Random(7)

    async def ask(http: httpx.AsyncClient, texts: list[str], priority: str) -> None:
        body = msgspec.msgpack.encode({"texts": texts, "priority": priority})
        _, vectors = unpack(
            await http.post("/embed", content=body, headers={"content-type": MSGPACK, "accept": MSGPACK})
        )
        assert len(vectors) == len(texts)
        for text, vector in zip(texts, vectors, strict=True):  # a wrong order would give a wrong vector
            assert np.abs(vector - alone[text]).max() <= 1e-5

    assert embedder.ready_url is not None
    base = embedder.ready_url.removesuffix("/readyz")
    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http, asyncio.TaskGroup() as group:
        for _ in range(40):
            texts = rng.choices(TEXTS, k=rng.choice([1, 1, 1, 3, 8]))
            group.create_task(ask(http, texts, rng.choice(["interactive", "bulk"])))


def test_a_long_text_is_truncated_and_marked(client: httpx.Client):
    long = text_of(2_000, 1)
    reply = embed_json(client, ["short", long])
    assert reply.truncated == [False, True]
    assert reply.tokens[1] == 256
    exact = embed_json(client, [" ".join(["fox"] * 254), " ".join(["fox"] * 255)])
    assert (exact.tokens, exact.truncated) == ([256, 256], [False, True])


def test_unknown_tokens_are_reported(client: httpx.Client):
    texts = ["plain English", "🎉", "ฉันชอบกินข้าวผัด", "cake for the party 🎉", "👍🏽 " * 300]
    reply = embed_json(client, texts)
    assert reply.unknown == [0.0, 1.0, 1.0, 0.2, 1.0]
    packed, _ = embed_packed(client, texts)
    assert packed.unknown == reply.unknown
    assert np.allclose(reply.embeddings[1], reply.embeddings[2], atol=1e-5)  # so the reply must report it
    metrics = client.get("/metrics").text
    assert "tandem_embedder_unknown_texts_total 0.0" not in metrics
    assert "tandem_embedder_truncated_texts_total 0.0" not in metrics


def test_a_long_text_is_refused_if_it_must_not_be_cut(client: httpx.Client):
    response = client.post("/embed", json={"texts": ["short", text_of(2_000, 1)], "truncate": False})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("limit_exceeded", "texts[1]")
    assert "256 tokens" in error["message"]
    assert embed_json(client, ["short"], truncate=False).truncated == [False]


ODD_TEXTS = {
    "accent": "é",
    "Japanese": "日本語のテキスト",
    "emoji": "🙂" * 300,
    "invisible": "\u200b",
    "special tokens": "[CLS] [SEP] [MASK]",
    "controls": "\x07\x1b[31m",
    "byte order mark": "\ufeffx",
    "one long word": "a" * 100_000,
    "many words": "x " * 50_000,
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_any_text_with_something_in_it_is_embedded(client: httpx.Client, text: str):
    reply = embed_json(client, [text])
    assert np.isclose(np.linalg.norm(reply.embeddings[0]), 1, atol=1e-5)


def test_the_most_that_a_request_may_hold(client: httpx.Client):
    reply = embed_json(client, [text_of(250, seed) for seed in range(64)], priority="bulk")
    assert len(reply.embeddings) == 64
