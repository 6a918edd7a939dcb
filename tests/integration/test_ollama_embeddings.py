"""The part of Ollama's API that embeds, by raw requests; ``tests/clients`` has the tests with its real client."""

from typing import Any

import numpy as np
import pytest

from tandem_gateway import __version__
from tests.support.stack import Client

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
LONG = "some words of a long text " * 100


def reference(client: Client, texts: list[str]) -> Any:
    reply = client.http.post("/v1/embeddings", json={"input": texts})
    return np.array([each["embedding"] for each in reply.json()["data"]])


def test_texts_get_the_vectors_that_openais_route_returns(client: Client) -> None:
    texts = ["ollama one", "ollama two"]
    body = {"input": texts, "model": "all-minilm", "truncate": True, "options": {"num_ctx": 8}, "keep_alive": "5m"}
    reply = client.http.post("/api/embed", json=body).json()
    np.testing.assert_array_equal(np.array(reply["embeddings"]), reference(client, texts))
    assert reply["model"] == MODEL
    assert reply["total_duration"] > 0
    assert (reply["load_duration"], reply["prompt_eval_count"]) == (0, 12)
    one = client.http.post("/api/embed", json={"input": "ollama one"}).json()["embeddings"]
    np.testing.assert_array_equal(np.array(one), reference(client, texts)[:1])


def test_the_older_route_returns_one_vector(client: Client) -> None:
    reply = client.http.post("/api/embeddings", json={"prompt": "ollama one", "model": "x"})
    np.testing.assert_array_equal(np.array([reply.json()["embedding"]]), reference(client, ["ollama one"]))
    assert list(reply.json()) == ["embedding"]


def test_long_texts_are_cut_and_told_or_refused(client: Client) -> None:
    for body in ({"input": [LONG, "x"]}, {"input": LONG, "truncate": True}, {"input": LONG, "truncate": None}):
        reply = client.http.post("/api/embed", json=body)
        assert (reply.status_code, reply.headers["tandem-truncated-inputs"]) == (200, "1")
    refused = client.http.post("/api/embed", json={"input": [LONG], "truncate": False})
    assert refused.status_code == 422
    assert "input[0]: has more tokens than the model's limit of 256" in refused.json()["error"]


def test_the_model_and_the_version_are_told(client: Client) -> None:
    tags = client.http.get("/api/tags").json()["models"]
    assert [(each["name"], each["model"]) for each in tags] == [(MODEL, MODEL), ("all-MiniLM-L6-v2",) * 2]
    assert {each["digest"] for each in tags} == {client.http.get("/info").json()["model_sha"]}
    assert client.http.get("/api/version").json() == {"version": __version__}


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/api/embed", {"json": {"input": []}}, 422),
        ("POST", "/api/embed", {"json": {"input": [1, 2]}}, 422),
        ("POST", "/api/embed", {"json": {"input": "a", "dimensions": 8}}, 422),
        ("POST", "/api/embed", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("POST", "/api/embed", {"content": b"{}"}, 415),
        ("POST", "/api/embed", {"content": b" " * (17 << 20), "headers": {"content-type": "application/json"}}, 413),
        ("POST", "/api/embeddings", {"json": {"prompt": ["a"]}}, 422),
        ("POST", "/api/embeddings", {"json": {"prompt": ["a" * 40_000] * 2}}, 422),
        ("POST", "/api/embeddings", {"json": {"prompt": ""}}, 422),
        ("POST", "/api/generate", {"json": {}}, 404),
        ("GET", "/api/embed", {}, 405),
        ("PUT", "/api/tags", {}, 405),
        ("GET", "/api/tags", {"headers": {"host": "evil.example"}}, 403),
    ],
)
def test_every_error_has_ollamas_shape(
    client: Client, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    reply = client.http.request(method, path, **options)
    body = reply.json()
    assert (reply.status_code, list(body)) == (status, ["error"])
    assert isinstance(body["error"], str)
    assert body["error"]
    assert "x-request-id" in reply.headers
