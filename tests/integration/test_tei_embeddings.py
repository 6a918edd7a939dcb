"""The part of the API of Text Embeddings Inference (TEI) that embeds."""

from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from tandem_gateway import __version__
from tests.support.stack import Client, Stack, gateway_process

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
JSON = {"content-type": "application/json"}
LONG = "some words of a long text " * 100


def reference(client: Client, texts: list[str]) -> Any:
    reply = client.http.post("/v1/embeddings", json={"input": texts})
    return np.array([each["embedding"] for each in reply.json()["data"]])


def test_texts_get_the_vectors_that_openais_route_returns(client: Client) -> None:
    texts = ["tei one", "tei two"]
    reply = client.http.post("/embed", json={"inputs": texts, "normalize": True, "truncate": True, "other": 1})
    np.testing.assert_array_equal(np.array(reply.json()), reference(client, texts))
    one = client.http.post("/embed", json={"inputs": "tei one", "truncation_direction": "Right"})
    np.testing.assert_array_equal(np.array(one.json()), reference(client, texts)[:1])


def test_long_texts_are_refused_unless_the_request_says_otherwise(client: Client) -> None:
    for body in ({"inputs": ["x", LONG]}, {"inputs": ["x", LONG], "truncate": False}):
        refused = client.http.post("/embed", json=body)
        assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
        assert "inputs[1]: has more tokens than the model's limit of 256" in refused.json()["error"]
    reply = client.http.post("/embed", json={"inputs": ["x", LONG], "truncate": True})
    assert (reply.status_code, reply.headers["tandem-truncated-inputs"]) == (200, "1")


def test_the_model_is_told(client: Client, stack: Stack) -> None:
    info = client.http.get("/info").json()
    assert info["model_id"] == MODEL
    assert info["model_sha"] == httpx.get(f"{stack.embedder_url}/readyz").json()["fingerprint"]
    assert info["model_dtype"] in ("int8", "fp32")
    assert (info["max_input_length"], info["max_client_batch_size"], info["auto_truncate"]) == (256, 2048, False)
    assert info["version"] == __version__


def test_it_is_healthy_only_while_an_embedder_is_there(client: Client, tmp_path: Path) -> None:
    reply = client.http.get("/health")
    assert (reply.status_code, reply.content) == (200, b"")
    process, alone = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9")
    with process:
        refused = alone.http.get("/health")
        assert (refused.status_code, refused.json()["error_type"]) == (503, "Unhealthy")
        for path in ("/info", "/v1/models", "/api/tags"):
            assert alone.http.get(path).status_code == 503
        late = alone.http.post("/embed", json={"inputs": "a"})
        assert (late.status_code, late.json()["error_type"]) == (503, "Unhealthy")
    alone.close()


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "word"),
    [
        ("POST", "/embed", {"json": {"inputs": "a", "normalize": False}}, 422, "unit length"),
        ("POST", "/embed", {"json": {"inputs": "a", "truncation_direction": "Left"}}, 422, "truncation_direction"),
        ("POST", "/embed", {"json": {"inputs": "a", "prompt_name": "query"}}, 422, "prompt_name"),
        ("POST", "/embed", {"json": {"inputs": "a", "dimensions": 8}}, 422, "dimensions"),
        ("POST", "/embed", {"json": {"inputs": [[1, 2]]}}, 422, "token ids"),
        ("POST", "/embed", {"json": {"inputs": ["a"] * 2049}}, 422, "2048"),
        ("POST", "/embed", {"json": {}}, 422, "inputs"),
        ("POST", "/embed", {"content": b"{", "headers": JSON}, 400, "JSON"),
        ("POST", "/embed", {"content": b"{}"}, 415, "content-type"),
        (
            "POST",
            "/embed",
            {"content": b" " * (17 << 20), "headers": JSON},
            413,
            "body",
        ),
        ("GET", "/embed", {}, 405, "GET"),
        ("GET", "/embed/", {}, 405, "GET"),
        ("GET", "/info", {"headers": {"host": "evil.example"}}, 403, "evil"),
    ],
)
def test_every_error_has_the_shape_of_that_api(
    client: Client, method: str, path: str, options: dict[str, Any], status: int, word: str
) -> None:
    reply = client.http.request(method, path, **options)
    body = reply.json()
    assert (reply.status_code, list(body)) == (status, ["error", "error_type"])
    assert word in body["error"]
    assert body["error_type"] == "Validation"
