"""Compatibility in both directions: old bytes are still readable, and new code still writes the same bytes."""

import copy
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_contract.admin_api import Traffic
from tandem_contract.client_api import (
    DEFAULT_TOP_K,
    HitPassage,
    HitScores,
    IngestRequest,
    Job,
    ReceivedSearchReply,
    SearchHit,
    SearchReply,
    SearchRequest,
)
from tandem_contract.decoding import InvalidMessage, decode_json, decode_msgpack
from tandem_contract.embed import (
    MAX_READY_BYTES,
    EmbedReply,
    EmbedRequest,
    PackedEmbedReply,
    ReadyReply,
    ReceivedReadyReply,
)
from tandem_contract.errors import ErrorReply, ReceivedErrorReply
from tests.contract.make_golden import GOLDEN, encode, main
from tests.contract.older_samples import OLDER
from tests.contract.samples import SAMPLES, VECTORS
from tests.contract.structs import SCHEMA_FILE, breaches, schema


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def test_every_message_has_its_golden_bytes_and_no_file_is_forgotten():
    assert {path.name for path in GOLDEN.iterdir()} == {*SAMPLES, *OLDER, SCHEMA_FILE}


@pytest.mark.parametrize("name", {**SAMPLES, **OLDER})
def test_golden_bytes_are_read_to_the_values_they_were_written_from(name: str):
    expected = {**SAMPLES, **OLDER}[name]
    if name.endswith(".msgpack"):
        read = decode_msgpack(golden(name), msgspec.msgpack.Decoder(type(expected)))
    else:
        read = decode_json(golden(name), msgspec.json.Decoder(type(expected)))
    assert read == expected


@pytest.mark.parametrize("name", SAMPLES)
def test_todays_encoder_writes_the_same_bytes(name: str):
    assert encode(name, SAMPLES[name]) == golden(name)


def test_the_services_search_reply_matches_its_reader():
    hits = [
        SearchHit(
            "a/b",
            0.75,
            "a text",
            msgspec.Raw(b'{"s":"x","l":["p"]}'),
            HitScores(0.5, 7.25),
            HitPassage("text", 2, 6, 1),
        ),
        SearchHit("c", 0.5, "another", msgspec.Raw(b"{}"), HitScores(None, 2.5), HitPassage("another", 0, 7, 0)),
    ]
    reply = SearchReply(hits, 1.25, "hybrid", True, True, ["unknown_tokens"])
    assert msgspec.json.encode(reply) == golden("search_reply_with_passage.json")


def test_an_embedder_describes_itself_with_the_bytes_of_the_first_release():
    first = (
        b'{"model":"m","fingerprint":"' + b"0" * 64 + b'","dim":3,"max_seq_length":256,"precision":"int8",'
        b'"status":"ready"}'
    )
    assert golden("ready_reply.json") == first


def test_the_gateway_reads_what_an_embedder_says_of_itself():
    read = decode_json(golden("ready_reply.json"), msgspec.json.Decoder(ReceivedReadyReply))
    assert read == ReceivedReadyReply("m", "0" * 64, 3, 256, "int8")
    longest = ReadyReply("\N{GRINNING FACE}" * 128, "\N{GRINNING FACE}" * 128, 8192, 1 << 31, "x" * 128)
    assert len(msgspec.json.encode(longest)) <= MAX_READY_BYTES


@pytest.mark.parametrize("field", ["model", "fingerprint", "dim", "max_seq_length", "precision", "status"])
def test_an_embedder_may_leave_out_any_field_of_its_description(field: str):
    message = msgspec.json.decode(golden("ready_reply.json"))
    del message[field]
    read = decode_json(msgspec.json.encode(message), msgspec.json.Decoder(ReceivedReadyReply))
    assert getattr(read, field, None) is None


@pytest.mark.parametrize(
    "wrong",
    [{"model": ""}, {"fingerprint": "f" * 129}, {"fingerprint": 7}, {"dim": 0}, {"dim": 8193}, {"dim": "384"},
     {"max_seq_length": -1}, {"max_seq_length": 2**40}, {"precision": []}],
)  # fmt: skip
def test_a_description_beyond_its_limits_is_refused(wrong: dict[str, object]):
    message = {**msgspec.json.decode(golden("ready_reply.json")), **wrong}
    with pytest.raises(InvalidMessage, match=next(iter(wrong))):
        decode_json(msgspec.json.encode(message), msgspec.json.Decoder(ReceivedReadyReply))


def test_packed_vectors_are_rows_of_little_endian_float32():
    reply = msgspec.msgpack.decode(golden("packed_embed_reply.msgpack"), type=PackedEmbedReply)
    assert reply.embeddings[:4] == b"\x00\x00\x80\x3f"
    np.testing.assert_array_equal(np.frombuffer(reply.embeddings, "<f4").reshape(-1, reply.dim), VECTORS)


def test_making_golden_bytes_again_writes_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.contract.make_golden.GOLDEN", tmp_path)
    (tmp_path / "job.json").write_bytes(b"older")
    main()
    assert (tmp_path / "job.json").read_bytes() == b"older"
    written = (tmp_path / "search_request_with_everything.json").read_bytes()
    assert written == golden("search_request_with_everything.json")


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("embed_reply.json", EmbedReply),
        ("error_reply.json", ErrorReply),
        ("error_reply.json", ReceivedErrorReply),
        ("job.json", Job),
        ("search_reply.json", ReceivedSearchReply),
        ("search_reply_with_mode.json", ReceivedSearchReply),
        ("packed_embed_reply.msgpack", PackedEmbedReply),
        ("ready_reply.json", ReadyReply),
        ("ready_reply.json", ReceivedReadyReply),
        ("traffic.json", Traffic),
    ],
)
def test_a_reply_of_the_future_with_more_fields_is_read(name: str, reader: type[msgspec.Struct]):
    packed = name.endswith(".msgpack")
    codec = msgspec.msgpack if packed else msgspec.json
    message = codec.decode(golden(name))
    extended = add_fields(message)
    assert extended != message
    assert codec.decode(codec.encode(extended), type=reader) == codec.decode(golden(name), type=reader)


def add_fields(value: object) -> object:
    """Return the value with an extra field in each of its objects, except in free-form metadata."""
    if isinstance(value, dict):
        inner = {key: child if key == "metadata" else add_fields(child) for key, child in value.items()}
        return {"a_new_field": {"deep": [1, None]}, **inner, "another_new_field": 1}
    if isinstance(value, list):
        return [add_fields(child) for child in value]
    return value


def test_requests_with_only_their_required_fields_get_the_defaults():
    embed = decode_json(b'{"texts": ["a"]}', msgspec.json.Decoder(EmbedRequest))
    assert (embed.kind, embed.truncate, embed.priority) == ("document", True, "interactive")
    ingest = decode_json(b'{"documents": [{"text": "a"}]}', msgspec.json.Decoder(IngestRequest))
    assert (ingest.collection, ingest.documents[0].id, ingest.documents[0].metadata) == ("default", None, {})
    search = decode_json(b'{"query": "q"}', msgspec.json.Decoder(SearchRequest))
    assert (search.top_k, search.collection, search.mode) == (5, "default", "auto")
    assert DEFAULT_TOP_K == 5


def test_a_job_of_the_first_release_without_later_fields_is_read():
    first = (
        b'{"job_id":"j","status":"running","total_documents":2,"processed_documents":1,"error":null,'
        b'"started_at":null,"finished_at":null}'
    )
    job = msgspec.json.decode(first, type=Job)
    assert (job.collection, job.failures, job.document_ids, job.unchanged_documents) == ("default", [], None, 0)


def test_no_field_was_removed_retyped_or_given_another_default():
    assert breaches(json.loads(golden(SCHEMA_FILE)), msgspec.to_builtins(schema())) == []


def test_the_comparison_of_schemas_finds_breaking_changes():
    older = msgspec.to_builtins(schema())
    removed, retyped, required, added, fewer = (copy.deepcopy(older) for _ in range(5))
    del removed["Job"]["error"]
    retyped["SearchRequest"]["top_k"]["type"] = "float"
    required["SearchRequest"]["language"] = {"type": "str", "required": True}
    added["SearchRequest"]["language"] = {"type": "str", "required": False, "default": ""}
    assert breaches(older, removed) == ["Job.error is gone"]
    assert breaches(older, retyped)[0].startswith("SearchRequest.top_k was")
    assert breaches(older, required) == ["SearchRequest.language is new and required"]
    added["Job"]["status"]["type"].append("paused")
    fewer["Job"]["status"]["type"].remove("failed")
    assert breaches(older, added) == []
    assert breaches(older, fewer)[0].startswith("Job.status was")
