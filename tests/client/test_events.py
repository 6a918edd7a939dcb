"""The events of a job: the parser, and streams that break, end early or are refused."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_client import ApiError, AsyncClient, Client, ConnectionBroken, InvalidReply, Unauthorized
from tandem_client.events import MAX_EVENT_BYTES, Event, EventParser
from tests.client.scripted_server import CUT, HALF, ScriptedServer, job, refusal


def parse(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def stream(*events: tuple[str, object]) -> bytes:
    """A stream that ends after these events."""
    lines = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + lines.encode()


BEGUN = ("progress", job("running"))
ENDED = ("end", job("completed"))


@given(st.lists(st.integers(0, 200), max_size=8))
def test_events_are_the_same_in_pieces_of_any_size(cuts: list[int]) -> None:
    whole = (
        b": hello\n\nevent: progress\ndata: {\ndata:  1}\n\ndata: x\r\n\r\nevent: end\nid: 3\ndata: y\n\nevent: late\n"
    )
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]
    assert parse(*pieces) == [Event("progress", b"{\n 1}"), Event("message", b"x"), Event("end", b"y")]


@pytest.mark.parametrize("endless", [b"x" * (1 << 16), b"data: x" + b"x" * (1 << 16) + b"\n"])
def test_an_event_without_end_is_refused(endless: bytes) -> None:
    with pytest.raises(InvalidReply, match=str(MAX_EVENT_BYTES)):
        parse(*[endless] * 32)


def follow(client: Client) -> list[str]:
    client._settings = replace(client.settings, retry=replace(client.settings.retry, base_seconds=0.001))
    return [state.status for state in client.follow_job("job_1")]


@pytest.mark.parametrize("first", [CUT, HALF, refusal(429, "overloaded"), refusal(503, "not_ready"), stream(BEGUN)])
def test_a_stream_that_breaks_is_opened_again(first: bytes) -> None:
    with ScriptedServer(first, stream(BEGUN, ENDED)) as server, Client(server.url) as client:
        assert follow(client)[-2:] == ["running", "completed"]
        assert len(server.requests) == 2


def test_a_stream_that_never_begins_is_an_error() -> None:
    with ScriptedServer(CUT) as server, Client(server.url, retries=2) as client:
        with pytest.raises(ConnectionBroken):
            follow(client)
        assert len(server.requests) == 3


@pytest.mark.parametrize("status", [401, 404])
def test_a_refused_stream_is_an_error(status: int) -> None:
    with ScriptedServer(refusal(status, "x")) as server, Client(server.url) as client:
        with pytest.raises(ApiError) as caught:
            follow(client)
        assert (caught.value.status, len(server.requests)) == (status, 1)


async def test_a_revoked_key_ends_the_stream() -> None:
    refused = stream(BEGUN, ("refused", {"message": "the key has been revoked"}))
    with ScriptedServer(refused) as server:
        with Client(server.url) as client, pytest.raises(Unauthorized, match="the key has been revoked"):
            follow(client)
        async with AsyncClient(server.url) as other:
            with pytest.raises(Unauthorized, match="the key has been revoked"):
                assert [state.status async for state in other.follow_job("job_1")] == ["running"]


def test_an_event_that_is_no_job_is_an_error() -> None:
    answer = stream(("progress", 7))
    with ScriptedServer(answer) as server, Client(server.url) as client, pytest.raises(InvalidReply):
        follow(client)
