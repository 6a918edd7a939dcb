"""The gateway's decoder of embedder replies: any reply is a result or one of the declared errors."""

import asyncio
import itertools
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.adapters.embedder_replies import read_embeddings, read_served_model
from tandem_gateway.adapters.http.connection import Connection
from tandem_gateway.adapters.http.messages import MAX_HEAD_BYTES, ConnectionBroken, Response, ResponseTooLarge
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tests.fuzz.inputs import as_json, hostile, outcome, thoroughly
from tests.support.embedder_over_tcp import TEXTS, packed
from tests.support.fakes import run

pytestmark = pytest.mark.fuzz

REFUSALS = (DeadlineExceeded, EmbedderBroken, EmbedderRejected, EmbedderUnavailable, Overloaded)
ERROR = {"error": {"message": "no", "type": "t", "code": "overloaded", "param": None}}
LONG = {"error": {**ERROR["error"], "message": "\u00e9" * 3000}}
ANSWERS = [
    packed(),
    packed(fingerprint="f" * 3000),
    packed(model="\u00e9" * 3000),
    packed(dim=1 << 62),
    packed(dim=-8),
    packed(np.full((2, 8), np.nan)),
    packed(np.full((2, 8), np.inf)),
    msgspec.msgpack.encode({**msgspec.msgpack.decode(packed()), "embeddings": "x" * 64}),
]


DESCRIPTION = {"status": "ready", "model": "m", "fingerprint": "f", "dim": 8, "max_seq_length": 256}


@thoroughly
@given(body=hostile(as_json(DESCRIPTION, ERROR)))
def test_a_description_of_the_model_is_read_or_refused(body: bytes) -> None:
    served, error = outcome(lambda: read_served_model(body), InvalidMessage)
    assert error is not None or served is None or isinstance(served.fingerprint, str)


@thoroughly
@given(
    status=st.sampled_from([200, 200, 200, 400, 422, 429, 500, 502, 503, 504, 301, 999]),
    body=hostile(ANSWERS) | hostile(as_json(ERROR, LONG)),
    retry_after=hostile([b"1", b"nan", b"inf", b"-5", b"1e300"]),
)
def test_an_answer_is_vectors_or_a_declared_error(status: int, body: bytes, retry_after: bytes) -> None:
    response = Response(status, [(b"retry-after", retry_after)], body)
    found, error = outcome(lambda: read_embeddings(response, len(TEXTS)), *REFUSALS)
    if error is not None:
        assert 0 <= (getattr(error, "retry_after", None) or 0) <= 120
        return
    assert found is not None
    assert status == 200
    assert found.vectors.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-3)
    # The store keeps both with a collection, and clients see them.
    assert len(found.model) <= 128
    assert len(found.fingerprint) <= 128


class _Transport:
    """Accepts written bytes, and records whether it was closed."""

    closed = False

    def write(self, data: bytes) -> None:
        """Accept the request."""

    def get_extra_info(self, name: str) -> None:
        """Return no extra information: the connection has no TLS."""

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


RESPONSES = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
]


@thoroughly
@given(answer=hostile(RESPONSES), cuts=st.lists(st.integers(0, 120), max_size=4), head_only=st.booleans())
def test_any_input_of_a_connection_is_a_response_or_a_broken_connection(
    answer: bytes, cuts: list[int], head_only: bool
) -> None:
    async def exchange() -> Response:
        connection = Connection()
        connection.connection_made(cast(Any, _Transport()))
        waiting = asyncio.ensure_future(connection.exchange(b"", max_bytes=1 << 20, head_only=head_only))
        await asyncio.sleep(0)
        edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
        for begin, end in itertools.pairwise(edges):
            if end > begin:
                connection.data_received(answer[begin:end])
        connection.eof_received()
        connection.connection_lost(None)
        return await waiting

    response, _ = outcome(lambda: run(exchange), ConnectionBroken, ResponseTooLarge)
    if response is not None:
        assert 200 <= response.status <= 999
        assert len(response.body) <= len(answer)
        assert not (head_only and response.body)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"HTTP/1.1 200 OK\r\nx: "],
    ids=["a head", "trailers", "one header"],
)
def test_a_head_or_trailers_without_end_are_given_up(head: bytes) -> None:
    async def feed() -> int:
        connection = Connection()
        transport = _Transport()
        connection.connection_made(cast(Any, transport))
        waiting = asyncio.ensure_future(connection.exchange(b"", max_bytes=1 << 20))
        await asyncio.sleep(0)
        connection.data_received(head)
        sent = 0
        while not transport.closed and sent < 4 << 20:
            piece = b"a" * 16384 if head.endswith(b"x: ") else b"a: b\r\n" * 2048
            connection.data_received(piece)
            sent += len(piece)
        assert transport.closed
        with pytest.raises(ResponseTooLarge):
            await waiting
        return sent

    assert run(feed) <= 2 * MAX_HEAD_BYTES
