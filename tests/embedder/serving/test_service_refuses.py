"""A real embedder over a real socket: every refusal has the same format, and the next request works."""

import json
import socket
from collections.abc import Iterator

import httpx2 as httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tandem_contract.errors import ErrorReply
from tests.support.processes import ServiceProcess
from tests.support.stack import wait_until

JSON = "application/json"
MSGPACK = "application/msgpack"
GOOD = b'{"texts":["a good request"]}'
DEEP = 10_000


def refusal(response: httpx.Response, status: int, code: str, param: str | None = None) -> ErrorReply:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == JSON
    assert response.headers["x-request-id"]
    reply = msgspec.json.decode(response.content, type=ErrorReply)  # also checks that type and code are the contract's
    assert (reply.error.code, reply.error.param) == (code, param)
    assert reply.error.message
    return reply


@pytest.fixture(autouse=True)
def a_good_request_works_afterwards(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.post("/embed", content=GOOD).status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "malformed_body", None),
        (b"{", 400, "malformed_body", None),
        (b'{"texts":["a"]} trailing', 400, "malformed_body", None),
        (b"\x00\xff\xfe", 400, "malformed_body", None),
        (b"[" * DEEP + b"]" * DEEP, 422, "invalid_field", None),
        (b'{"texts":' + b"[" * DEEP + b"]" * DEEP + b"}", 422, "invalid_field", "texts[0]"),
        (b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", 422, "unknown_field", "x"),
        (b'{"texts":["\xff"]}', 400, "invalid_encoding", None),
        (b'{"texts":["\xed\xa0\x80"]}', 400, "invalid_encoding", None),
        (rb'{"texts":["\ud800"]}', 400, "invalid_encoding", "texts[0]"),
        (rb'{"texts":["a","\udc00 x"]}', 400, "invalid_encoding", "texts[1]"),
        (rb'{"texts":["a\u0000b"]}', 422, "invalid_field", "texts[0]"),
        (b"[]", 422, "invalid_field", None),
        (b"null", 422, "invalid_field", None),
        (b"{}", 422, "missing_field", "texts"),
        (b'{"texts":"a"}', 422, "invalid_field", "texts"),
        (b'{"texts":[1]}', 422, "invalid_field", "texts[0]"),
        (b'{"texts":["a",null]}', 422, "invalid_field", "texts[1]"),
        (b'{"texts":[]}', 422, "invalid_field", "texts"),
        (b'{"texts":["a",""]}', 422, "invalid_field", "texts[1]"),
        (b'{"texts":["a"," \\t\\n"]}', 422, "invalid_field", "texts[1]"),
        (b'{"texts":["a"],"kind":"passage"}', 422, "invalid_field", "kind"),
        (b'{"texts":["a"],"priority":1}', 422, "invalid_field", "priority"),
        (b'{"texts":["a"],"truncate":"no"}', 422, "invalid_field", "truncate"),
        (b'{"texts":["a"],"txets":["b"]}', 422, "unknown_field", "txets"),
        (json.dumps({"texts": ["a"] * 65}).encode(), 422, "limit_exceeded", "texts"),
        (json.dumps({"texts": [""] * 1_000_000}).encode(), 422, "limit_exceeded", "texts"),
        (json.dumps({"texts": ["a", "b" * 100_001]}).encode(), 422, "limit_exceeded", "texts[1]"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_bad_json(client: httpx.Client, body: bytes, status: int, code: str, param: str | None):
    refusal(client.post("/embed", content=body, headers={"content-type": JSON}), status, code, param)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_body"),
        (b"\xc1", 400, "malformed_body"),
        (b"\x81\xa5texts\x91\xa1\xff", 400, "invalid_encoding"),
        (b"\x81\xa5texts\x91\xa3\xed\xa0\x80", 400, "invalid_encoding"),
        (b"\x81\xa5texts\x91\xdb\xff\xff\xff\xff", 400, "malformed_body"),
        (b"\x81\xa5texts\xdd\xff\xff\xff\xff", 422, "limit_exceeded"),
        (b"\x91" * DEEP, 422, "invalid_field"),
        (msgspec.msgpack.encode({"texts": ["a\0"]}), 422, "invalid_field"),
        (msgspec.msgpack.encode({"texts": [b"a"]}), 422, "invalid_field"),
        (msgspec.msgpack.encode({"texts": ["a"], "more": 1}), 422, "unknown_field"),
        (GOOD, 422, "invalid_field"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_bad_messagepack(client: httpx.Client, body: bytes, status: int, code: str):
    response = client.post("/embed", content=body, headers={"content-type": MSGPACK, "accept": MSGPACK})
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == code


@pytest.mark.parametrize(
    ("headers", "status", "code", "param"),
    [
        ({"content-type": "text/plain"}, 415, "unsupported_media_type", "content-type"),
        ({"content-encoding": "gzip"}, 415, "unsupported_media_type", "content-encoding"),
        ({"accept": "text/html"}, 406, "not_acceptable", "accept"),
        ({"x-request-timeout-ms": "soon"}, 422, "invalid_field", "x-request-timeout-ms"),
        ({"x-request-timeout-ms": "0"}, 504, "deadline_exceeded", None),
    ],
)
def test_bad_headers(client: httpx.Client, headers: dict[str, str], status: int, code: str, param: str | None):
    refusal(client.post("/embed", content=GOOD, headers=headers), status, code, param)


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(client: httpx.Client):
    body = b'{"texts":["' + b"x" * 9_000_000 + b'"]}'
    refusal(client.post("/embed", content=body), 413, "body_too_large", "body")
    chunks = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    refusal(client.post("/embed", content=chunks), 413, "body_too_large", "body")


@pytest.mark.parametrize(
    "path", ["/", "/embedding", "/embed/more", "/docs", "/schema", "/openapi.json", "/%00", "/\u00e9"]
)
def test_an_unknown_path(client: httpx.Client, path: str):
    refusal(client.get(path), 404, "not_found", "path")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/embed"), ("PUT", "/embed"), ("POST", "/readyz"), ("POST", "/metrics")]
)
def test_a_wrong_method_gets_the_allowed_one(client: httpx.Client, method: str, path: str):
    response = client.request(method, path)
    refusal(response, 405, "method_not_allowed", "method")
    assert ("POST" if path == "/embed" else "GET") in response.headers["allow"]


def test_the_request_id_comes_back_and_a_bad_one_is_replaced(client: httpx.Client):
    for path in ("/embed", "/livez", "/nowhere"):
        assert client.get(path, headers={"x-request-id": "abc-1.2:3"}).headers["x-request-id"] == "abc-1.2:3"
        assert client.get(path, headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"
    assert client.get("/livez").headers["x-request-id"] != client.get("/livez").headers["x-request-id"]


def test_broken_http_and_disconnects_do_not_affect_other_clients(embedder: ServiceProcess, client: httpx.Client):
    port = httpx.URL(embedder.ready_url or "").port
    for sent in (
        b"\x00\x01\x02\r\n\r\n",
        b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
        b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-length: 29\r\n\r\n" + GOOD,
        b"POST /embed HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as connection:
            connection.sendall(sent)
    assert client.get("/livez").status_code == 200


def test_metrics_can_be_parsed_and_count(client: httpx.Client, served_precision: str):
    def samples() -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {
            sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    before = samples()
    assert client.post("/embed", content=GOOD).status_code == 200
    assert client.post("/embed", content=b"{").status_code == 400
    after = samples()
    grown = {name for name, value in after.items() if value > before.get(name, 0)}
    assert {
        "tandem_embedder_requests_total|200",
        "tandem_embedder_requests_total|400",
        "tandem_embedder_rejected_total|malformed_body",
        "tandem_embedder_texts_total",
        "tandem_embedder_tokens_total|interactive",
        "tandem_embedder_request_duration_seconds_count",
        "tandem_embedder_tokenize_duration_seconds_count",
        "tandem_embedder_queue_duration_seconds_count|interactive",
        "tandem_embedder_inference_duration_seconds_count",
        "tandem_embedder_batch_rows_count",
    } <= grown
    assert after["tandem_embedder_ready"] == 1
    assert after["tandem_embedder_queued_tokens|interactive"] == 0
    assert any(name.startswith("tandem_embedder_build_info") and f"|{served_precision}" in name for name in after)


def test_the_log_is_one_object_a_line_with_the_requests_id(embedder: ServiceProcess, client: httpx.Client):
    client.post("/embed", content=GOOD, headers={"x-request-id": "find-me"})
    wait_until(lambda: "find-me" in embedder.log_text(), "the request's line in the log")
    lines = embedder.log_lines()
    assert lines[0]["message"] == "starting"
    (ready,) = [line for line in lines if line["message"] == "ready"]
    assert ready["fingerprint"] == client.get("/readyz").json()["fingerprint"]
    access = [line for line in lines if line.get("request_id") == "find-me"]
    assert [(line["method"], line["path"], line["status"]) for line in access] == [("POST", "/embed", 200)]
    assert not [line for line in lines if line["level"] in {"error", "critical"}]
