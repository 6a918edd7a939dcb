"""Every example of the OpenAPI document is true: a real gateway accepts it and replies as the document says."""

import itertools
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tandem_gateway.use_cases.validation import RequestLimits
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.openapi import document
from tests.support.stack import Client, gateway_process

DOCUMENT = document(
    RequestLimits(documents=10_000, text_chars=100_000, metadata_bytes=16_384, query_chars=8192, top_k=100)
)
NUMBERS = itertools.count(1)
KEY = "a-key-from-outside-of-32-characters"
BODIES = [
    (method, path, media_type, content)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
]
EXAMPLES = [
    pytest.param(method, path, media_type, example["value"], id=f"{method} {path} {media_type} {name}")
    for method, path, media_type, content in BODIES
    for name, example in content.get("examples", {}).items()
]
STORED = [
    {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"page": 1, "tags": ["pets", "prose"]}},
    {"id": "tea", "text": "Steep the leaves for three minutes.", "metadata": {"page": 7}},
]
WITHOUT_EXAMPLE = {"multipart/form-data", "application/octet-stream"}
"""Media types of files."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("examples")
    with HttpFakeEmbedder() as embedder:
        settings = {"TANDEM_API_KEY": KEY, "TANDEM_CANARY_URL": embedder.url}
        process, client = gateway_process(folder, folder / "data", embedder.url, env=settings)
        client.http.headers["authorization"] = f"Bearer {KEY}"
        with process:
            yield client
        client.close()


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return the validator of a schema of the document, with its references."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize(("method", "path", "media_type", "value"), EXAMPLES)
def test_the_gateway_accepts_an_example_and_replies_as_documented(
    client: Client, method: str, path: str, media_type: str, value: Any
) -> None:
    operation = DOCUMENT["paths"][path][method]
    validator(operation["requestBody"]["content"][media_type]["schema"]).validate(value)
    client.ingest_and_wait(STORED)
    # The settings of a collection that has documents cannot change.
    new = f"new-{next(NUMBERS)}"
    names = {
        "collection": new if path == "/v1/collections/{collection}" else "default",
        "document_id": "mat",
        "source": "books",
        "deployment": "any",
    }
    url = path.format(**names)
    if media_type == "application/json":
        reply = client.http.request(method, url, json=value)
    else:
        reply = client.http.request(method, url, content=value.encode(), headers={"content-type": media_type})
    status = str(reply.status_code)
    assert status in {code for code in operation["responses"] if code.startswith("2")}, reply.text
    validator(operation["responses"][status]["content"]["application/json"]["schema"]).validate(reply.json())
    if status == "202":
        assert client.wait_job(reply.json()["job_id"]).status == "completed"


@pytest.mark.parametrize(("method", "path", "media_type", "content"), BODIES)
def test_every_body_has_an_example_unless_it_is_a_file(
    method: str, path: str, media_type: str, content: dict[str, Any]
) -> None:
    assert bool(content.get("examples")) != (media_type in WITHOUT_EXAMPLE), f"{method} {path}"


def test_examples_of_replies_match_their_schemas() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    for name, example in content.get("examples", {}).items():
                        assert validator(content["schema"]).is_valid(example["value"]), (path, status, name)
