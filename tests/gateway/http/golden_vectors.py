"""Golden cases for requests with vectors, and for requests that return them."""

import json
from collections.abc import Iterator

from tests.gateway.http.golden_case import AZURE, EMBEDDINGS, MODELS, OLLAMA, PROMPT, SIMILAR, TEI, Case, get, post


def similar() -> Iterator[tuple[str, Case]]:
    for name, asked in (
        ("a document", {"document_id": "a", "top_k": 2, "include": ["vector"], "exclude": ["passage"]}),
        ("a document by a filter", {"document_id": "a", "top_k": 2, "filter": {"n": {"$gt": 9}}, "offset": 1}),
        ("an absent document", {"document_id": "absent"}),
        ("an absent collection", {"document_id": "a", "collection": "nowhere"}),
        ("a vector", {"vector": [1, 0, 0, 0, 0, 0, 0, 0.5], "top_k": 1}),
        ("a vector of another dimension", {"vector": [1, 2, 3]}),
        ("a vector of zeros", {"vector": [0] * 8}),
        ("an empty vector", {"vector": []}),
        ("a vector with a text", {"vector": [1, 2, 3, 4, 5, 6, 7, "8"]}),
        ("both", {"document_id": "a", "vector": [1]}),
        ("nothing", {}),
        ("a query", {"query": "a"}),
        ("too many", {"document_id": "a", "top_k": 1001}),
    ):
        yield f"documents like {name}", post(SIMILAR, {"collection": "books", **asked})
    yield "documents like one, a number", post(SIMILAR, {"document_id": 7, "collection": "books"})
    yield "documents like one, a boolean", post(SIMILAR, {"document_id": True, "collection": "books"})
    for fields in (
        {"diversity": 0.5}, {"diversity": 1.5}, {"group_by": "n"}, {"group_by": ""}, {"explain": 1},
        {"highlight": True}, {"consistency": "bounded"},
    ):  # fmt: skip
        like = {"document_id": "a", "collection": "books", "top_k": 2, "exclude": ["passage"], **fields}
        yield f"documents like one with {json.dumps(fields)}", post(SIMILAR, like)
    yield "documents like a vector that is not finite", post(SIMILAR, b'{"vector": [1e999]}')
    yield "documents like a vector with NaN", post(SIMILAR, b'{"vector": [NaN]}')


def embeddings() -> Iterator[tuple[str, Case]]:
    for name, body in (
        ("a text", {"input": "a text", "model": "any", "user": "someone", "unknown": {}}),
        ("two texts", {"input": ["one", "two"], "encoding_format": "float", "dimensions": 8}),
        ("texts in base64", {"input": ["one", "two"], "encoding_format": "base64"}),
        ("texts as documents", {"input": ["one"], "input_type": "document", "encoding_format": "base64"}),
        ("many texts", {"input": [f"text {number}" for number in range(70)], "encoding_format": "base64"}),
        ("tokens", {"input": [15339, 1917]}),
        ("lists of tokens", {"input": [[15339, 1917]]}),
        ("no text", {}),
        ("an empty list", {"input": []}),
        ("a blank text", {"input": ["a", " "]}),
        ("too many texts", {"input": ["a"] * 2049}),
        ("too many texts in a large body", {"input": ["a" * 40] * 2049}),
        ("a list in a large body", {"input": ["a" * 70_000, ["b"]]}),
        ("a text that is too long", {"input": "a" * 100_001}),
        ("fewer dimensions", {"input": "a", "dimensions": 4}),
        ("an unknown format", {"input": "a", "encoding_format": "int8"}),
        ("an unknown truncation", {"input": "a", "truncation": "END"}),
        ("no JSON", b"{"),
    ):
        yield f"vectors of {name}", post(EMBEDDINGS, body)
    yield "vectors at Azure's path", post(f"{AZURE}?api-version=2024-02-01&x=1", {"input": ["one"]})
    yield "vectors of a form", post(EMBEDDINGS, b"input=a", ("content-type", "application/x-www-form-urlencoded"))
    for gateway in ("starting", "failed"):
        yield f"vectors of a gateway that is {gateway}", post(EMBEDDINGS, {"input": "a"}, gateway=gateway)
    for name, target, body in (
        ("two texts for Ollama", OLLAMA, {"input": ["one", "two"], "truncate": True, "keep_alive": 5}),
        ("a text for Ollama", OLLAMA, {"input": "one", "model": "x"}),
        ("tokens for Ollama", OLLAMA, {"input": [1]}),
        ("no JSON for Ollama", OLLAMA, b"{"),
        ("a prompt", PROMPT, {"prompt": "one"}),
        ("a list as a prompt", PROMPT, {"prompt": ["one"]}),
        ("a prompt of nothing", PROMPT, {}),
        ("an unknown route of Ollama", "/api/chat", {}),
        ("two texts for TEI", TEI, {"inputs": ["one", "two"]}),
        ("a text for TEI", TEI, {"inputs": "one", "truncate": True, "normalize": True}),
        ("a text for TEI, as it is", TEI, {"inputs": "one", "normalize": False}),
        ("no text for TEI", TEI, {}),
    ):
        yield f"vectors of {name}", post(target, body)
    for target in (OLLAMA, TEI):
        yield (
            f"vectors of {target} from a starting gateway",
            post(target, {"input": "a", "inputs": "a"}, gateway="starting"),
        )
        yield f"vectors of {target} as text", post(target, b"{}", ("content-type", "text/plain"))
    for target in ("/api/tags", "/info", "/health"):
        yield f"{target} of a starting gateway", get(target, gateway="starting")
        yield f"{target} of a draining gateway", get(target, gateway="draining")
    yield "a model with a slash", get(f"{MODELS}/org/model")
