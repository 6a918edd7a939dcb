"""OpenAI's embeddings API, by raw requests; ``tests/clients`` has the tests with real clients."""

import asyncio
import base64
import json
from typing import Any

import httpx2 as httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.stack import Client, Stack

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
ROUTE = "/v1/embeddings"
LONG = "some words of a long text " * 100
BURST = 500


def vectors(reply: httpx.Response) -> npt.NDArray[np.float32]:
    """Return the vectors of a reply in either format."""
    assert reply.status_code == 200, reply.text
    data = reply.json()["data"]
    assert [each["index"] for each in data] == list(range(len(data)))
    return np.stack(
        [
            np.frombuffer(base64.b64decode(each["embedding"]), "<f4")
            if isinstance(each["embedding"], str)
            else np.array(each["embedding"], np.float32)
            for each in data
        ]
    )


def expected(stack: Stack, texts: list[str]) -> npt.NDArray[np.float32]:
    """Return the vectors that the embedder itself makes."""
    reply = httpx.post(f"{stack.embedder_url}/embed", json={"texts": texts, "kind": "query"}, timeout=60)
    return np.array(reply.json()["embeddings"], np.float32)


def near(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> bool:
    """Return whether vectors are the same but for rounding, which differs between batches."""
    return found.shape == wanted.shape and float((found * wanted).sum(axis=1).min()) > 0.999


def test_a_text_gets_the_vector_of_the_embedder(client: Client, stack: Stack) -> None:
    reply = client.http.post(ROUTE, json={"input": "a pet on a rug", "model": MODEL})
    assert near(vectors(reply), expected(stack, ["a pet on a rug"]))
    body = reply.json()
    assert (body["object"], body["model"]) == ("list", MODEL)
    assert body["data"][0]["object"] == "embedding"
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert "tandem-truncated-inputs" not in reply.headers


def test_both_formats_have_the_same_vectors(client: Client) -> None:
    texts = ["a cat", "a dog", "a cat"]
    floats = vectors(client.http.post(ROUTE, json={"input": texts, "encoding_format": "float"}))
    packed = client.http.post(ROUTE, json={"input": texts, "encoding_format": "base64"})
    assert isinstance(packed.json()["data"][0]["embedding"], str)
    np.testing.assert_array_equal(vectors(packed), floats)
    np.testing.assert_array_equal(floats[0], floats[2])
    assert vectors(client.http.post(ROUTE, json={"input": texts, "encoding_format": None})).shape == floats.shape


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_the_most_texts_are_embedded_in_order(client: Client, stack: Stack, encoding_format: str) -> None:
    texts = [f"text number {number}" for number in range(2048)]
    reply = client.http.post(ROUTE, json={"input": texts, "encoding_format": encoding_format}, timeout=120)
    found = vectors(reply)
    assert found.shape == (2048, 384)
    some = [0, 31, 32, 1000, 2047]
    assert near(found[some], expected(stack, [texts[place] for place in some]))
    assert reply.json()["usage"]["prompt_tokens"] > 2048


def test_a_large_body_is_read_in_full(client: Client, stack: Stack) -> None:
    texts = [f"{number} " + "é" * 600 for number in range(100)]
    found = vectors(client.http.post(ROUTE, json={"input": texts, "user": "someone"}, timeout=120))
    assert near(found[[0, 99]], expected(stack, [texts[0], texts[99]]))
    one = vectors(client.http.post(ROUTE, json={"input": "word " * 19_000}, timeout=60))
    assert one.shape == (1, 384)


def test_cut_texts_are_told_and_can_be_refused(client: Client) -> None:
    reply = client.http.post(ROUTE, json={"input": ["short", LONG, LONG + "."]})
    assert reply.headers["tandem-truncated-inputs"] == "2"
    refused = client.http.post(ROUTE, json={"input": ["short", LONG], "truncation": "error"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (422, "limit_exceeded", "input[1]")
    assert "256" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [15339, 1917]}, "input"),
        ({"input": [[15339, 1917]]}, "input"),
        ({"input": [*["text"] * 3, [15339]]}, "input"),
        ({"input": [15339, 1917] * 20_000}, "input"),
        ({"input": [[15339, 1917]] * 2_000 + [[1] * 40_000]}, "input"),
    ],
)
def test_tokens_are_refused_and_the_error_names_the_cure(client: Client, body: dict[str, Any], param: str) -> None:
    reply = client.http.post(ROUTE, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (422, param), reply.text
    if len(body["input"]) <= 2048:
        assert "check_embedding_ctx_length=False" in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "input"),
        ({"input": None}, 422, "input"),
        ({"input": 5}, 422, "input"),
        ({"input": []}, 422, "input"),
        ({"input": ""}, 422, "input"),
        ({"input": " \n"}, 422, "input"),
        ({"input": ["a", ""]}, 422, "input[1]"),
        ({"input": ["a", "b\0"]}, 422, "input[1]"),
        ({"input": ["a", None]}, 422, "input[1]"),
        ({"input": ["a"] * 2049}, 422, "input"),
        ({"input": ["a" * 40] * 2049}, 422, "input"),
        ({"input": ["a" * 40_000, ["b"] * 10_000, "c"]}, 422, "input"),
        ({"input": "a" * 100_001}, 422, "input"),
        ({"input": ["a", "b" * 100_001]}, 422, "input[1]"),
        ({"input": "a", "encoding_format": "int8"}, 422, "encoding_format"),
        ({"input": "a", "dimensions": 128}, 422, "dimensions"),
        ({"input": "a", "dimensions": "384"}, 422, "dimensions"),
        ({"input": "a", "truncation": "START"}, 422, "truncation"),
        ({"input": "a", "input_type": "other"}, 422, "input_type"),
        ({"input": "a", "model": 5}, 422, "model"),
        ([], 422, None),
    ],
)
def test_a_wrong_request_is_refused_and_the_error_names_the_field(
    client: Client, body: Any, status: int, param: str | None
) -> None:
    reply = client.http.post(ROUTE, json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (status, param), reply.text
    assert error["type"] == "invalid_request_error"


def test_the_models_own_dimension_may_be_asked_for(client: Client) -> None:
    assert vectors(client.http.post(ROUTE, json={"input": "a", "dimensions": 384})).shape == (1, 384)


def test_every_name_of_a_model_is_answered_and_the_reply_names_the_real_one(client: Client) -> None:
    for name in ("text-embedding-3-small", "all-MiniLM-L6-v2", MODEL, "", None):
        assert client.http.post(ROUTE, json={"input": "a", "model": name}).json()["model"] == MODEL


def test_the_models_are_listed_and_found_by_each_name(client: Client) -> None:
    listed = client.http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == [MODEL, "all-MiniLM-L6-v2"]
    for each in listed["data"]:
        assert client.http.get(f"/v1/models/{each['id']}").json() == each
    encoded = client.http.get(f"/v1/models/{MODEL.replace('/', '%2F')}")
    assert encoded.json()["id"] == MODEL
    missing = client.http.get("/v1/models/gpt")
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "model")


def test_azures_path_ignores_its_query_and_serves_the_same(client: Client, stack: Stack) -> None:
    route = "/openai/deployments/any-name/embeddings?api-version=2024-02-01&other=x"
    reply = client.http.post(route, json={"input": ["a pet on a rug"]}, headers={"api-key": "x"})
    assert near(vectors(reply), expected(stack, ["a pet on a rug"]))


def test_a_repeated_text_comes_from_the_cache(client: Client) -> None:
    name = "tandem_gateway_query_vector_cache_hits_total"
    client.http.post(ROUTE, json={"input": "a text that is repeated"})
    before = client.metric(name)
    client.http.post(ROUTE, json={"input": "a text that is repeated"})
    assert client.metric(name) == before + 1


def test_texts_tokens_and_truncated_texts_are_counted(client: Client) -> None:
    names = [f"tandem_gateway_embedding_{what}_total" for what in ("texts", "tokens", "truncated_texts")]
    before = [client.metric(name, {"api": "openai"}) for name in names]
    usage = client.http.post(ROUTE, json={"input": ["counted", LONG]}).json()["usage"]
    after = [client.metric(name, {"api": "openai"}) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, usage["prompt_tokens"], 1]


def test_the_callers_timeout_counts(client: Client) -> None:
    texts = [f"{number} {LONG}" for number in range(512)]
    reply = client.http.post(ROUTE, json={"input": texts}, headers={"x-request-timeout-ms": "1"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_a_burst_of_single_texts_on_connections_of_their_own_is_answered_in_full(
    client: Client, stack: Stack
) -> None:
    texts = [f"chunk {number} of a document that a user has uploaded" for number in range(BURST)]
    host, port = client.url.removeprefix("http://").split(":")
    calls = "tandem_gateway_queries_per_call_count"
    before = client.metric(calls)

    async def ask(text: str) -> tuple[int, Any]:
        body = json.dumps({"input": [text], "model": "any"}).encode()
        head = f"POST {ROUTE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        top, _, content = answer.partition(b"\r\n\r\n")
        return int(top.split()[1]), json.loads(content)

    replies = await asyncio.gather(*map(ask, texts))
    assert [status for status, _ in replies] == [200] * BURST
    found = np.array([body["data"][0]["embedding"] for _, body in replies], np.float32)
    some = [0, 250, 499]
    assert near(found[some], expected(stack, [texts[place] for place in some]))
    assert len({row.tobytes() for row in found}) == BURST
    assert client.metric(calls) - before < BURST  # they shared calls
