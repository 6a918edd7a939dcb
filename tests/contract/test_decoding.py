"""Every message that cannot be decoded ends in one error type that names the field."""

import gc
import json
import re
import tracemalloc
import weakref

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.client_api import (
    CollectionSettings,
    DocumentInput,
    IngestRequest,
    ReceivedSearchReply,
    SearchRequest,
)
from tandem_contract.decoding import InvalidMessage, decode_json, decode_msgpack
from tandem_contract.embed import EmbedRequest, PackedEmbedReply

INGEST = msgspec.json.Decoder(IngestRequest)
SEARCH = msgspec.json.Decoder(SearchRequest)
EMBED = msgspec.msgpack.Decoder(EmbedRequest)
PACKED = msgspec.msgpack.Decoder(PackedEmbedReply)
REPLY = msgspec.json.Decoder(ReceivedSearchReply)
DEEP = 1_000_000
"""A nesting depth that every supported Python refuses; 3.14 accepts far deeper nesting than older versions."""


def refusal(body: bytes, decoder: msgspec.json.Decoder[object] = INGEST) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        decode_json(body, decoder)
    assert str(caught.value) == caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"   \n", "not valid JSON"),
        (b"{", "truncated"),
        (b'{"documents": [}', "not valid JSON"),
        (b'{"documents": []} x', "trailing"),
        (b'{"documents": []}{"documents": []}', "trailing"),
        (b'{"documents": [{"text": NaN}]}', "not valid JSON"),
        (b'{"documents": [{"text": "a", "metadata": {"k": NaN}}]}', "not valid JSON"),
        (b'{"documents": [{"text": "a", "metadata": {"k": -Infinity}}]}', "not valid JSON"),
        (b"{'documents': []}", "not valid JSON"),
        (b'{"documents": [{"text": "\\ud800', "truncated"),
    ],
)
def test_invalid_json_is_malformed(body: bytes, said: str):
    error = refusal(body)
    assert (error.code, error.param) == ("malformed_body", None)
    assert said in error.message


@pytest.mark.parametrize(
    "body", [b'{"documents": [{"text": "\xff"}]}', b'{"documents": [{"text": "\xed\xa0\x80"}]}', b'{"\xc3": 1}']
)
def test_invalid_utf8_is_reported_as_such(body: bytes):
    error = refusal(body)
    assert error.code == "invalid_encoding"
    assert "UTF-8" in error.message


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"[]", "invalid_field", None),
        (b"null", "invalid_field", None),
        (b'{"documents": {}}', "invalid_field", "documents"),
        (b'{"documents": [{"text": "a"}, {"text": 1}]}', "invalid_field", "documents[1].text"),
        (b'{"documents": [{"text": "a", "id": [7]}]}', "invalid_field", "documents[0].id"),
        (b'{"documents": [{"text": "a", "metadata": []}]}', "invalid_field", "documents[0].metadata"),
        (b'{"documents": [], "collection": null}', "invalid_field", "collection"),
        (b'{"docs": []}', "unknown_field", "docs"),
        (b'{"documents": [{"text": "a"}, {"txt": "a"}]}', "unknown_field", "documents[1].txt"),
        (b"{}", "missing_field", "documents"),
        (b'{"documents": [{"text": "a"}, {}]}', "missing_field", "documents[1].text"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(body: bytes, code: str, param: str | None):
    error = refusal(body)
    assert (error.code, error.param) == (code, param)
    assert (param or "the body") in error.message


def test_a_value_of_metadata_of_a_wrong_type_is_found_by_its_document():
    error = refusal(b'{"documents": [{"text": "a", "metadata": {"k": {"nested": [true]}}}]}')
    assert error.code == "invalid_field"
    assert error.param is not None
    assert error.param.startswith("documents[0].metadata")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"documents": [{"text": 1}]}', "documents[0].text: expected `string`, got `integer`"),
        (
            b'{"documents": [{"text": "a", "id": 1.5}]}',
            "documents[0].id: expected `integer | string | null`, got `number`",
        ),
        (b'{"documents": [{"text": true}]}', "documents[0].text: expected `string`, got `boolean`"),
        (b'{"documents": "a"}', "documents: expected `array`, got `string`"),
        (b'{"docs": []}', "unknown field: docs; the fields are documents, collection, on_error"),
    ],
)
def test_a_message_has_the_names_of_json_and_of_the_fields(body: bytes, message: str):
    assert refusal(body).message == message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"documents": [{"text": "\\ud800"}]}', "documents[0].text"),
        (b'{"documents": [{"text": "\\uDC00 low alone"}]}', "documents[0].text"),
        (b'{"documents": [{"text": "ok"}, {"text": "ok", "id": "\\ud83d"}]}', "documents[1].id"),
        (b'{"documents": [{"text": "ok", "metadata": {"k": "\\udbff"}}]}', "documents[0].metadata.k"),
        (b'{"documents": [{"text": "ok", "metadata": {"k": ["a", "\\ud800"]}}]}', "documents[0].metadata.k[1]"),
        (b'{"documents": [{"text": "ok", "metadata": {"\\ud800": 1}}]}', "documents[0].metadata"),
        (b'"\\ud800"', None),
    ],
)
def test_a_lone_surrogate_is_refused_and_its_place_named(body: bytes, param: str | None):
    error = refusal(body)
    assert (error.code, error.param) == ("invalid_encoding", param)
    assert "surrogate" in error.message
    error.message.encode()  # the error message itself can be encoded


def test_a_surrogate_pair_is_a_character():
    read = decode_json(b'{"documents": [{"text": "\\ud83d\\ude00"}]}', INGEST)
    assert read.documents[0].text == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"documents":' + b"[" * DEEP,
        b'{"documents": [{"text": "a", "metadata": {"k": ' + b"[" * DEEP,
        b'{"documents": [{"text": "a", "metadata": {"k": ' + b'{"k":' * DEEP,
        b'{"documents": "\\ud800", "x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    ],
    ids=range(8),
)
def test_deep_nesting_is_refused(body: bytes):
    assert refusal(body).code in {"malformed_body", "invalid_field", "unknown_field", "invalid_encoding"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_in_a_field_that_is_skipped_is_refused(opening: bytes):
    error = refusal(b'{"results": [], "took_ms": 1, "new": ' + opening * DEEP, REPLY)
    assert error.code == "malformed_body"
    assert "nested" in error.message


@pytest.mark.parametrize("number", [b"1e999", b"1.5", b"9" * 5000, b'"5"', b"true"])
def test_a_number_that_is_no_whole_number_of_sane_size_is_refused(number: bytes):
    error = refusal(b'{"query": "q", "top_k": ' + number + b"}", SEARCH)
    assert (error.code, error.param) == ("invalid_field", "top_k")


def test_a_large_whole_number_is_read_as_it_is():
    assert decode_json(b'{"query": "q", "top_k": 99999999999999999999}', SEARCH).top_k == 99999999999999999999


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "malformed_body", None),
        (b"\x81", "malformed_body", None),
        (b"\x81\xa5texts\x91\xa1\xff", "invalid_encoding", None),
        (msgspec.msgpack.encode({"texts": ["a", 1]}), "invalid_field", "texts[1]"),
        (msgspec.msgpack.encode({"texts": ["a"], "kind": "other"}), "invalid_field", "kind"),
        (msgspec.msgpack.encode({"texts": ["a"], "Kind": "query"}), "unknown_field", "Kind"),
        (msgspec.msgpack.encode({}), "missing_field", "texts"),
        (msgspec.msgpack.encode({"texts": []}) + b"\x01", "malformed_body", None),
        pytest.param(b"\x91" * DEEP, "invalid_field", None, id="deep"),
        pytest.param(b"\x82\xa5texts" + b"\x91" * DEEP, "invalid_field", "texts[0]", id="deep texts"),
        (b"\x81\xa5texts\xdd\xff\xff\xff\xff", "malformed_body", None),
        (b"\x81\xa5texts\x91\xdb\xff\xff\xff\xff", "malformed_body", None),
    ],
)
def test_a_wrong_message_in_msgpack_is_explained_likewise(body: bytes, code: str, param: str | None):
    with pytest.raises(InvalidMessage) as caught:
        decode_msgpack(body, EMBED)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_deep_nesting_in_a_skipped_field_of_msgpack_is_refused():
    with pytest.raises(InvalidMessage, match="nested"):
        decode_msgpack(b"\x81\xa3new" + b"\x91" * DEEP, PACKED)


def only_invalid_message(body: bytes) -> None:
    for decode, decoder in (
        (decode_json, INGEST),
        (decode_json, SEARCH),
        (decode_json, REPLY),
        (decode_msgpack, EMBED),
        (decode_msgpack, PACKED),
    ):
        read: object
        try:
            read = decode(body, decoder)
        except InvalidMessage as error:
            read = error
            error.message.encode()
        assert isinstance(read, decoder.type | InvalidMessage)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_invalid_message(body: bytes):
    only_invalid_message(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(["documents", "collection", "query", "top_k", "texts", "x"]), json_values),
    st.integers(0, 300),
    st.integers(0, 255),
)
def test_damaged_and_strange_json_raises_only_invalid_message(message: object, place: int, byte: int):
    body = bytearray(json.dumps(message).encode())
    only_invalid_message(bytes(body))
    body[place % len(body)] = byte
    only_invalid_message(bytes(body))


@given(st.text(st.characters(codec=None), max_size=20))
def test_a_text_with_surrogates_is_refused_or_read_as_it_is(text: str):
    body = json.dumps({"query": text}).encode()
    alone = re.search(r"[\ud800-\udfff]", json.loads(json.dumps(text)))
    if alone:
        error = refusal(body, SEARCH)
        assert (error.code, error.param) == ("invalid_encoding", "query")
    else:
        assert decode_json(body, SEARCH).query == json.loads(json.dumps(text))


def test_a_byte_order_mark_is_skipped():
    assert decode_json(b'\xef\xbb\xbf{"query": "x"}', SEARCH).query == "x"
    assert refusal(b"\xef\xbb\xbf{").code == "malformed_body"


def test_utf16_is_called_by_its_name():
    error = refusal('{"documents": []}'.encode("utf-16"))
    assert error.code == "invalid_encoding"
    assert "UTF-16" in error.message


NAMES_LIKE_PATHS = [
    "` - at `$.a",
    " - at `$.a",
    " - at `$.a`",
    "a` - at `$",
    "` - at `$.documents[0].text`",
    " - at `$",
]


@pytest.mark.parametrize("name", NAMES_LIKE_PATHS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_field_whose_name_looks_like_a_path_is_named_whole(name: str, inside: bool):
    field = json.dumps({"text": "x", name: 1} if inside else {name: 1})
    error = refusal(b'{"documents": [%s]}' % field.encode() if inside else field.encode())
    # msgspec's message ends the name at the first character that cannot be part of one: only the start is certain.
    assert error.code == "unknown_field"
    assert error.param is not None
    assert error.param.startswith("documents[0]." if inside else "")


@pytest.mark.parametrize(
    "body",
    [
        b'{"' + b" - at `$." * 200_000 + b'\\n": 1}',
        b'{"' + b"unknown field `" * 200_000 + b'": 1}',
        b'{"' + b"a" * 15_000_000 + b'": 1}',
        b'{"documents": [], "collection": "x", "' + b"b" * 1_000_000 + b'": 1}',
    ],
)
def test_a_long_name_is_cut_in_the_message(body: bytes):
    error = refusal(body)
    assert error.code in ("unknown_field", "malformed_body")
    assert len(error.message) < 1_000
    assert len(error.param or "") < 1_000


@pytest.mark.parametrize("value", ["x" * 1_000_000, "\ud800" * 100])
def test_a_long_value_is_cut_in_the_message(value: str):
    error = refusal(json.dumps({"query": "x", "mode": value}).encode(), SEARCH)
    assert error.param == "mode"
    assert len(error.message) < 1_000


def test_locating_a_surrogate_costs_no_more_than_the_body():
    # Paths of all values would each repeat the name; one path takes a few hundred characters.
    body = b'{"query":"\\ud800","' + b"k" * 30_000 + b'":[' + b",".join([b"0"] * 15_000) + b"]}"
    tracemalloc.start()
    error = refusal(body, SEARCH)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (error.code, error.param) == ("invalid_encoding", "query")
    assert peak < 20 * len(body)


def test_a_surrogate_in_a_large_body_is_reported_without_its_place():
    body = b'{"documents": [{"text": "' + b"x" * 100_000 + b'\\ud800"}]}'
    error = refusal(body)
    assert (error.code, error.param) == ("invalid_encoding", None)
    assert "surrogate" in error.message


def test_an_error_that_is_handled_frees_the_body_without_the_garbage_collector():
    class Payload(bytearray):
        pass

    body = Payload(b'{"documents": [{"text": 1}]}')
    gone = weakref.ref(body)
    gc.disable()
    try:
        param = None
        try:
            decode_json(body, INGEST)
        except InvalidMessage as error:
            param = error.param
        assert param == "documents[0].text"
        del body
        assert gone() is None
    finally:
        gc.enable()


def test_a_part_is_named_by_its_place():
    with pytest.raises(InvalidMessage) as caught:
        decode_json(b'{"txt": 1}', msgspec.json.Decoder(DocumentInput), at="documents[7]")
    assert caught.value.param == "documents[7].txt"
    with pytest.raises(InvalidMessage) as caught:
        decode_json(b'{"text"', msgspec.json.Decoder(DocumentInput), at="documents[7]")
    assert caught.value.param == "documents[7]"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            IngestRequest,
            b'{"documents": [{"text": "a", "format": "html"}]}',
            "documents[0].format: one of text, markdown was expected, not 'html'",
        ),
        (SearchRequest, b'{"query": "a", "fusion": "x"}', "fusion: one of relative, rrf, dbsf was expected, not 'x'"),
        (SearchRequest, b'{"query": "a", "filter": 3}', "filter: expected `object | null`, got `integer`"),
        (
            SearchRequest,
            b'{"query": "a", "fusion": {"weights": {"dens": 1}}}',
            "unknown field: fusion.weights.dens; the fields are dense, lexical",
        ),
        (
            CollectionSettings,
            b'{"chunking": {"size": 1}}',
            "unknown field: chunking.size; the fields are max_tokens, overlap_tokens",
        ),
    ],
)
def test_a_message_has_the_words_and_names_of_the_place(kind: type, body: bytes, message: str):
    with pytest.raises(InvalidMessage) as raised:
        decode_json(body, msgspec.json.Decoder(kind))
    assert raised.value.message == message
