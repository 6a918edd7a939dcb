"""The client of an embedder: the result or error for each answer, and for no answer."""

import msgspec
import numpy as np
import pytest

from tandem_contract.embed import EmbedRequest
from tandem_gateway.adapters.http.messages import ConnectFailed, ConnectionBroken, Response
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
    for_log,
)
from tandem_gateway.records.coverage import Coverage
from tandem_runtime import logs, trace
from tandem_runtime.replies import error_reply
from tandem_runtime.tokens import Tokens
from tests.gateway.embedders.asked import Asked, Request, answering
from tests.support.embedder_over_tcp import TEXTS, packed
from tests.support.fakes import DIM, FINGERPRINT, MODEL, vectors_of


async def test_a_good_answer_gives_the_vectors_in_order():
    asked = answering(200, packed())
    found = await asked.embed()
    np.testing.assert_array_equal(found.vectors, vectors_of(TEXTS))
    assert (found.vectors.dtype, found.model, found.fingerprint) == (np.float32, MODEL, FINGERPRINT)
    assert asked.outcomes == ["ok"]


async def test_each_text_has_its_tokens_and_its_coverage():
    found = await answering(200, packed(tokens=[3, 256], truncated=[False, True], unknown=[0.0, 0.25])).embed()
    assert list(found.tokens) == [3, 256]
    assert list(found.coverages) == [Coverage(), Coverage(truncated=True, unknown=0.25)]


@pytest.mark.parametrize(("field", "tokens", "coverages"), [("unknown", [3, 3], []), ("tokens", [], [Coverage()] * 2)])
async def test_an_embedder_may_leave_out_what_it_does_not_know(
    field: str, tokens: list[int], coverages: list[Coverage]
):
    reply = msgspec.msgpack.decode(packed())
    del reply[field]
    found = await answering(200, msgspec.msgpack.encode(reply)).embed()
    assert (list(found.tokens), list(found.coverages)) == (tokens, coverages)


async def test_the_request_follows_the_contract():
    asked = answering(200, packed())
    token = logs.request_id.set("an-id")
    trace_token = trace.current.set(trace.TraceContext("the-parent", "the=state", "an-id-too"))
    try:
        await asked.embed(timeout=5.0)
    finally:
        logs.request_id.reset(token)
        trace.current.reset(trace_token)
    (request,) = asked.requests
    assert (request.method, request.path) == ("POST", "/embed")
    assert request.headers["content-type"] == request.headers["accept"] == "application/msgpack"
    assert request.headers["x-request-id"] == "an-id"
    assert (request.headers["traceparent"], request.headers["tracestate"]) == ("the-parent", "the=state")
    assert 0 < int(request.headers["x-request-timeout-ms"]) <= 5000
    assert msgspec.msgpack.decode(request.body, type=EmbedRequest) == EmbedRequest(TEXTS, "document", True, "bulk")


async def test_outside_a_request_no_id_is_sent_and_no_trace_is_made_up():
    asked = answering(200, packed())
    await asked.embed()
    assert not {"x-request-id", "traceparent", "tracestate"} & set(asked.requests[0].headers)


NOT_UNIT = vectors_of(TEXTS) * 1.01
WITH_NAN = vectors_of(TEXTS).copy()
WITH_NAN[1, 2] = np.nan
INFINITE = np.full((2, DIM), np.inf, np.float32)
HUGE = np.full((2, DIM), 3e38, np.float32)


@pytest.mark.parametrize(
    "content",
    [
        packed(vectors_of(["one"])),
        packed(vectors_of(["one", "two", "three"])),
        packed(dim=DIM + 1),
        packed(dim=0, embeddings=b""),
        packed(dim=-1),
        packed(dim=2**60),
        packed(embeddings=packed()[:-3]),
        packed(vectors_of(TEXTS)[:, :-1]),
        packed(WITH_NAN),
        packed(NOT_UNIT),
        packed(INFINITE),
        packed(HUGE),
        packed(np.zeros((2, DIM), np.float32)),
        packed(tokens=[3]),
        packed(tokens=[3, 3, 3]),
        packed(tokens=[3, -1]),
        packed(tokens=[3, 2**40]),
        packed(tokens=[3, 0.5]),
        packed(tokens=[[3], 3]),
        b"",
        b"garbage",
        b"\xc1",
        packed()[:-1],
        packed() + b"\x00",
        b"\x81\xa1x" + b"\x91" * 10_000,
        msgspec.json.encode({"embeddings": [[1.0]]}),
        msgspec.msgpack.encode({"dim": DIM}),
        b"<html>an error page</html>",
    ],
)
async def test_an_answer_that_the_contract_does_not_allow_is_broken(content: bytes):
    asked = answering(200, content)
    with pytest.raises(EmbedderBroken, match="the embedder"):
        await asked.embed()
    assert asked.outcomes == ["EmbedderBroken"]
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EmbedderRejected),
        (413, EmbedderRejected),
        (422, EmbedderRejected),
        (429, Overloaded),
        (502, EmbedderUnavailable),
        (503, EmbedderUnavailable),
        (504, DeadlineExceeded),
        (500, EmbedderBroken),
        (404, EmbedderBroken),
        (204, EmbedderBroken),
        (302, EmbedderBroken),
        (418, EmbedderBroken),
    ],
)
async def test_each_status_becomes_the_matching_error(status: int, kind: type[Exception]):
    asked = answering(status, error_reply("internal", "what it said"))
    with pytest.raises(kind, match=rf"answered {status}: what it said"):
        await asked.embed()
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"\xff\xfe", b"{}", b'{"error": 1}', b'{"x":' * 10_000, b'{"error":{"x":' + b"[" * 10_000],
)
async def test_an_error_without_the_contracts_shape_is_still_an_error(content: bytes):
    with pytest.raises(EmbedderUnavailable, match="answered 503"):
        await answering(503, content, {"content-type": "text/html; charset=nonsense"}).embed()


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), ("-4", 0.0), ("1e9", 120.0), ("soon", 1.0), (None, 1.0), ("nan", 0)]
)
async def test_retry_after_is_taken_within_bounds(header: str | None, seconds: float):
    with pytest.raises(Overloaded) as caught:
        await answering(429, b"", {"retry-after": header} if header else {}).embed()
    assert caught.value.retry_after == seconds


async def test_a_connection_that_breaks_is_tried_once_more_on_a_fresh_one():
    def answer(request: Request) -> Response:
        if not request.fresh:
            raise ConnectionBroken("reset")
        return Response(200, [], packed())

    asked = Asked(answer)
    assert (await asked.embed()).model == MODEL
    assert [request.fresh for request in asked.requests] == [False, True]


async def test_a_connection_that_breaks_twice_is_unavailable():
    def answer(request: Request) -> Response:
        raise ConnectionBroken("reset")

    asked = Asked(answer)
    with pytest.raises(EmbedderUnavailable) as caught:
        await asked.embed()
    assert str(caught.value) == "the embedder cannot be reached; the gateway's log says why"
    assert for_log(caught.value) == "the embedder at http://embedder cannot be reached: reset"
    assert len(asked.requests) == 2


@pytest.mark.parametrize(
    ("error", "kind"), [(ConnectFailed("refused"), EmbedderUnavailable), (TimeoutError(), DeadlineExceeded)]
)
async def test_errors_that_a_retry_cannot_fix_are_not_retried(error: Exception, kind: type[Exception]):
    def answer(request: Request) -> Response:
        raise error

    asked = Asked(answer)
    with pytest.raises(kind):
        await asked.embed()
    assert len(asked.requests) == 1
    assert asked.outcomes == [kind.__name__]


async def test_without_time_left_nobody_is_asked():
    asked = answering(200, packed())
    with pytest.raises(DeadlineExceeded):
        await asked.embed(timeout=0.0)
    assert asked.requests == []


async def test_calls_and_probes_bear_the_first_token():
    asked = Asked(
        lambda request: Response(200, [], packed()), Tokens(["the-first-token-of-two", "the-other-token-of-two"])
    )
    await asked.embed()
    await asked.client.probe(timeout=1.0)
    assert [request.headers["authorization"] for request in asked.requests] == ["Bearer the-first-token-of-two"] * 2


async def test_without_a_token_no_authorization_is_sent():
    asked = answering(200, packed())
    await asked.embed()
    assert "authorization" not in asked.requests[0].headers


async def test_a_refused_token_is_a_fault_of_the_configuration_and_of_no_text():
    asked = answering(401, error_reply("unauthorized", "authorization: a bearer token was expected"))
    with pytest.raises(EmbedderUnavailable, match=r"refuses the gateway's token.*TANDEM_EMBEDDER_TOKEN"):
        await asked.embed()


async def test_a_forbidden_call_is_a_fault_of_the_configuration_too():
    with pytest.raises(EmbedderUnavailable, match="answered 403: host: x is not allowed"):
        await answering(403, error_reply("forbidden", "host: x is not allowed")).embed()
