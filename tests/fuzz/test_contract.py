"""The contract's decoders accept or refuse any input, name the invalid field, and cost at most linear time."""

import json
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tandem_contract.admin_api import TrafficChange
from tandem_contract.client_api import IngestRequest, ReceivedSearchReply, SearchRequest
from tandem_contract.decoding import InvalidMessage, decode_json, decode_msgpack
from tandem_contract.embed import EmbedRequest, PackedEmbedReply
from tandem_contract.errors import ReceivedErrorReply
from tandem_runtime import json_slices
from tandem_runtime.json_slices import find_array
from tests.fuzz.inputs import (
    as_json,
    assert_cost_is_linear,
    assert_names_its_field,
    bounded,
    hostile,
    outcome,
    thoroughly,
)

pytestmark = pytest.mark.fuzz

MESSAGES: dict[type, Any] = {
    IngestRequest: {
        "documents": [{"id": "a", "text": "an é text", "metadata": {"k": 1.5, "t": ["x"], "n": None}}, {"text": "b"}],
        "collection": "books",
    },
    SearchRequest: {"query": "a café", "top_k": 3, "collection": "books", "mode": "auto"},
    TrafficChange: {"canary_weight": 5, "shadow_percent": None},
    EmbedRequest: {"texts": ["one", "two"], "kind": "query", "truncate": False, "priority": "bulk"},
    ReceivedSearchReply: {"results": [{"id": "a", "score": 0.5, "text": "x", "metadata": {}}], "took_ms": 1.0},
    ReceivedErrorReply: {"error": {"message": "no", "type": "t", "code": "c", "param": None}},
    PackedEmbedReply: {
        "embeddings": b"\x00\x00\x80?",
        "dim": 1,
        "model": "m",
        "fingerprint": "f",
        "tokens": [3],
        "truncated": [False],
    },
}
JSON = [kind for kind in MESSAGES if kind is not PackedEmbedReply]


@pytest.mark.slow
@pytest.mark.parametrize("kind", JSON, ids=lambda kind: kind.__name__)
@thoroughly
@given(data=st.data())
def test_json_is_read_or_refused_by_name(kind: type, data: st.DataObject) -> None:
    body = data.draw(hostile(as_json(MESSAGES[kind])))
    decoder = msgspec.json.Decoder(kind)
    read, error = outcome(lambda: decode_json(body, decoder), InvalidMessage)
    if error is None:
        assert isinstance(read, kind)
        if kind.__struct_config__.forbid_unknown_fields:  # msgspec does not validate the parts that it skips
            json.loads(body)  # no decoder accepts input that the standard parser refuses
    else:
        assert_names_its_field(error)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@thoroughly
@given(data=st.data())
def test_messagepack_is_read_or_refused_by_name(kind: type, data: st.DataObject) -> None:
    body = data.draw(hostile([msgspec.msgpack.encode(MESSAGES[kind])]))
    decoder = msgspec.msgpack.Decoder(kind)
    read, error = outcome(lambda: decode_msgpack(body, decoder), InvalidMessage)
    if error is None:
        assert isinstance(read, kind)
    else:
        assert_names_its_field(error)


@bounded
@given(
    body=hostile(as_json({"documents": [{"a": "[1],"}, [2, [3]], "x\\"], "n": {"documents": [1]}}, {"documents": []})),
    block=st.sampled_from([1, 3, 1 << 18]),
)
def test_a_body_in_slices_is_the_whole_body(body: bytes, block: int) -> None:
    def whole() -> Any:
        return msgspec.json.decode(body)

    def in_slices() -> Any:
        message = msgspec.json.decode(slices.rest(body))
        message["documents"] = [msgspec.json.decode(slices.element(body, i)) for i in range(slices.count(body))]
        return message

    with patch.object(json_slices, "_BLOCK_BYTES", block):
        slices = find_array(body, "documents", 1 << 30)
    assume(slices is not None)
    refusals = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
    expected, wrong = outcome(whole, *refusals)
    found, refused = outcome(in_slices, *refusals)
    assert (wrong is None) == (refused is None)
    assert found == expected


@pytest.mark.slow
@bounded
@given(
    before=st.sampled_from([b'{"query":"', b'{"', b'{"query":"\\ud800","x":["', b'{"query":', b'{"query":"x","a":']),
    part=st.sampled_from(
        [b" - at `$.", b"a`", b'":{"', b'","', b"\\ud800", b"[", b'{"a":', b"0,", b'","k":"', b"\\n", b"\xc3\xa9"]
    )
    | st.binary(min_size=1, max_size=6),
    after=st.sampled_from([b"", b'":1}', b'"]}', b'"}', b"]}", b'\\n":1}']),
)
def test_the_cost_grows_no_faster_than_the_length(before: bytes, part: bytes, after: bytes) -> None:
    decoder = msgspec.json.Decoder(SearchRequest)
    assert_cost_is_linear(lambda times: decode_json(before + part * times + after, decoder), InvalidMessage)
