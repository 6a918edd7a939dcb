"""The spans of rerankings: what is below them, their outcomes, and the trace that a rerank server gets."""

import asyncio

import pytest

from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.reranking.httpx_connection import HttpxRerankConnection
from tandem_gateway.errors import RerankerUnavailable
from tandem_gateway.records.explanation import Stages
from tandem_runtime import trace
from tests.gateway.reranking.test_search_reranker import RANKED, Parts, command
from tests.support.recording import Recording, request, span_id


@pytest.mark.parametrize("fails", [False, True])
async def test_a_reranked_search_has_a_span_with_its_outcome(fails: bool) -> None:
    recording, parts = Recording(), Parts()
    parts.reranker.error = RerankerUnavailable("a secret") if fails else None
    with request(recording) as context:
        reranking = parts.searches.begin(command())
        assert reranking is not None
        stages = Stages.begin()
        await reranking.score(RANKED, 110.0, stages)
    assert stages is not None
    assert stages.seconds.keys() == {"rerank"}
    (span,) = recording.named("rerank")
    assert span.parent is not None
    assert span.parent.span_id == span_id(context)
    expected = {"tandem.documents": 3, **({"error.type": "failed"} if fails else {})}
    assert dict(span.attributes or {}) == expected


class RecordingServer:
    """A rerank server of TEI that keeps the heads of its requests."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.heads.append(head)
        (length,) = [line.split(":")[1] for line in head.splitlines() if line.startswith("content-length")]
        await reader.readexactly(int(length))
        body = b'[{"index":0,"score":0.5}]'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()
        await writer.wait_closed()


async def test_a_rerank_server_gets_the_trace_of_its_call_only_while_it_is_recorded() -> None:
    recording, served = Recording(), RecordingServer()
    server = await asyncio.start_server(served, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = HttpxRerankConnection(url, Http1Transport(url, max_connections=1), "tei")
    async with server:
        token = trace.current.set(trace.TraceContext(f"00-{'a' * 32}-{'b' * 16}-01", None, "a" * 32))
        await connection.rerank("a secret", ["text"], model=None, raw=False, timeout=20.0)
        trace.current.reset(token)
        with request(recording) as context:
            await connection.rerank("a secret", ["text"], model=None, raw=False, timeout=20.0)
        connection.close()
    (call,) = recording.named("POST rerank server")
    assert call.context is not None
    assert call.parent is not None
    assert call.parent.span_id == span_id(context)
    assert "traceparent" not in served.heads[0]
    assert f"traceparent: 00-{context.trace_id}-{call.context.span_id:016x}-0" in served.heads[1]
    assert dict(call.attributes or {})["server.address"] == "127.0.0.1"
    assert "secret" not in call.to_json()
