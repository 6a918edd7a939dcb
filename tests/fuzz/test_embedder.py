"""The embedder's request and headers, and the manifest of its model."""

import tempfile
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_contract.embed import EmbedRequest
from tandem_embedder.api.embed_route import BodyLimits, EmbedRoute, timeout_seconds
from tandem_embedder.api.negotiation import Syntax, reply_syntax, request_syntax
from tandem_embedder.errors import InvalidDeadline
from tandem_embedder.model.prepared_model import PreparedModelError, read_manifest
from tandem_runtime.memory import MemoryBudget
from tests.embedder.serving.manifests import GOOD
from tests.fuzz.inputs import as_json, assert_names_its_field, bounded, hostile, outcome, thoroughly

pytestmark = pytest.mark.fuzz

REQUEST = {"texts": ["one", "zwei é", "\U0001f600"], "kind": "query", "truncate": False, "priority": "bulk"}
ROUTE = EmbedRoute(cast(Any, None), cast(Any, None), BodyLimits(1 << 20, MemoryBudget(1 << 20, "A_SETTING")))


@thoroughly
@given(body=hostile(as_json(REQUEST, {"texts": []})))
def test_a_request_in_json_is_read_or_refused_by_name(body: bytes) -> None:
    check(body, Syntax.JSON)


@thoroughly
@given(body=hostile([msgspec.msgpack.encode(REQUEST), msgspec.msgpack.encode({"texts": ["a"] * 20})]))
def test_a_request_in_messagepack_is_read_or_refused_by_name(body: bytes) -> None:
    check(body, Syntax.MSGPACK)


def check(body: bytes, syntax: Syntax) -> None:
    request, error = outcome(lambda: ROUTE._read(body, syntax), InvalidMessage)
    if error is not None:
        assert_names_its_field(error)
        return
    assert isinstance(request, EmbedRequest)
    # Both syntaxes can express the same messages.
    for other, encoded in (
        (Syntax.JSON, msgspec.json.encode(request)),
        (Syntax.MSGPACK, msgspec.msgpack.encode(request)),
    ):
        assert ROUTE._read(encoded, other) == request


TYPES = [b"application/json", b"application/msgpack;q=0.5, */*", b"application/json;q=0, text/html", b"gzip", b""]


@thoroughly
@given(value=hostile(TYPES) | hostile([b"x" * 5000, b"a/b;q=" + b"9" * 5000]), other=st.none() | hostile(TYPES))
def test_the_headers_of_a_request_are_read_or_refused_by_name(value: bytes, other: bytes | None) -> None:
    for read in (
        lambda: request_syntax(value, other),
        lambda: request_syntax(b"application/json", value),
        lambda: reply_syntax(value),
        lambda: timeout_seconds(value),
    ):
        _, error = outcome(read, InvalidMessage, InvalidDeadline)
        if error is not None:
            assert_names_its_field(error)


@bounded
@given(content=hostile(as_json(msgspec.to_builtins(GOOD))))
def test_a_manifest_is_read_or_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "manifest.json").write_bytes(content)
        manifest, error = outcome(lambda: read_manifest(folder), PreparedModelError)
        if error is not None:
            assert str(folder) in str(error)
            assert "\n" not in str(error)
            return
        assert manifest is not None
        for variant in manifest.variants.values():
            assert variant.graph in variant.files
            assert all((folder / file).resolve().is_relative_to(folder.resolve()) for file in variant.files)
