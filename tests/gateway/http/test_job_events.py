"""The stream of a job's events over real sockets: its form, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.app import make_app
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases import job_events
from tandem_gateway.use_cases.use_cases import UseCases
from tests.gateway.http.golden_case import post
from tests.gateway.http.golden_gateways import _ready, _sent
from tests.support.fakes import WAIT_SECONDS, eventually
from tests.support.serving import serving


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_events, "INTERVAL_SECONDS", 0.001)


class Served:
    """A gateway without an embedder, and the job of one document, which waits."""

    def __init__(self, gateway: Gateway, use_cases: UseCases, port: int, job_id: str) -> None:
        self.gateway = gateway
        self.use_cases = use_cases
        self.port = port
        self.job_id = job_id

    @asynccontextmanager
    async def stream(self, method: str = "GET", key: str = "") -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                f"{method} /v1/jobs/{self.job_id}/events HTTP/1.1\r\nhost: localhost\r\napi-key: {key}\r\n\r\n".encode()
            )
            yield reader
        finally:
            writer.close()

    async def followers(self) -> int:
        return self.use_cases.job_events.followers


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    app, gateway = make_app(
        Settings(data_dir=tmp_path, embedder_url="http://127.0.0.1:9", access_log=False), lambda: None
    )
    async with serving(app, lifespan=True) as port:
        use_cases = await eventually(lambda: _ready(gateway), lambda found: found is not None)
        assert use_cases is not None
        ingest = post("/v1/ingest", {"documents": [{"id": "a", "text": "a text"}]})
        status, _, body = await asyncio.to_thread(_sent, port, ingest)
        assert status == 202
        yield Served(gateway, use_cases, port, json.loads(body)["job_id"])


async def head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    given = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)).decode().split("\r\n")
    return given[0], dict(line.split(": ", 1) for line in given[1:] if line)


async def chunk(reader: asyncio.StreamReader) -> str:
    """Return a chunk; each has one event. The last is empty."""
    size = int(await asyncio.wait_for(reader.readline(), WAIT_SECONDS), 16)
    return (await asyncio.wait_for(reader.readexactly(size + 2), WAIT_SECONDS))[:-2].decode()


async def event(reader: asyncio.StreamReader, name: str) -> dict[str, Any]:
    """Return the data of the next event of this name."""
    while True:
        given, data = (await chunk(reader)).rstrip("\n").split("\n")
        found: dict[str, Any] = json.loads(data.removeprefix("data: "))
        if given == f"event: {name}":
            return found
        assert given == "event: progress"


async def test_a_job_is_followed_to_its_end(served: Served):
    async with served.stream() as reader:
        status, headers = await head(reader)
        assert status == "HTTP/1.1 200 OK"
        assert (headers["content-type"], headers["cache-control"]) == ("text/event-stream", "no-store")
        assert "x-request-id" in headers
        job = await event(reader, "progress")
        assert (job["job_id"], job["status"], job["total_documents"]) == (served.job_id, "pending", 1)
        await served.use_cases.jobs.cancel(served.job_id)
        job = await event(reader, "end")
        assert (job["status"], job["cancelled_documents"], job["error"]) == ("cancelled", 1, None)
        assert await chunk(reader) == ""
    assert await served.followers() == 0


async def test_a_stream_of_a_job_that_has_ended_has_its_end_only(served: Served):
    await served.use_cases.jobs.cancel(served.job_id)
    async with served.stream() as reader:
        await head(reader)
        assert (await chunk(reader)).startswith("event: end\ndata: {")
        assert await chunk(reader) == ""


async def test_a_heartbeat_is_a_comment(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_events, "HEARTBEAT_SECONDS", 0.001)
    async with served.stream() as reader:
        await head(reader)
        assert (await chunk(reader)).startswith("event: progress")
        parts = [await chunk(reader) for _ in range(3)]
        assert ": the job goes on\n\n" in parts


async def test_a_stream_ends_when_its_client_leaves(served: Served):
    async with served.stream() as reader:
        await head(reader)
        assert await served.followers() == 1
    await eventually(served.followers, lambda followers: followers == 0)


@pytest.mark.parametrize("with_key", [True, False])
async def test_a_stream_ends_when_its_key_is_revoked_or_access_control_is_switched_on(
    served: Served, monkeypatch: pytest.MonkeyPatch, with_key: bool
):
    monkeypatch.setattr(job_events, "HEARTBEAT_SECONDS", 0.001)
    access = served.gateway.access
    assert access is not None
    keys = KeyAdministration(access.store)
    wanted = NewKey("follower", "ingest")
    key, text = keys.create(wanted) if with_key else (None, "")
    access.load()
    async with served.stream(key=text) as reader:
        assert (await head(reader))[0] == "HTTP/1.1 200 OK"
        assert (await chunk(reader)).startswith("event: progress")
        if key is None:
            keys.create(wanted)
        else:
            keys.revoke(key.id)
        access.load()
        parts = [""]
        while part := await chunk(reader):
            parts.append(part)
    assert parts[-1].startswith('event: refused\ndata: {"message": "authorization: ')
    assert not any(part.startswith("event: end") for part in parts)
    assert await served.followers() == 0


async def test_a_stream_ends_when_the_gateway_stops(served: Served):
    async with served.stream() as reader:
        await head(reader)
        await event(reader, "progress")
        served.gateway.drain()
        while await chunk(reader):
            pass
    assert await served.followers() == 0


async def test_a_head_request_follows_nothing(served: Served):
    async with served.stream("HEAD") as reader:
        status, headers = await head(reader)
        assert status == "HTTP/1.1 200 OK"
        assert headers["content-type"] == "text/event-stream"
        assert await served.followers() == 0


async def test_one_stream_too_many_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_events, "MAX_FOLLOWERS", 1)
    async with served.stream() as first:
        await head(first)
        async with served.stream() as second:
            status, headers = await head(second)
            assert status == "HTTP/1.1 429 Too Many Requests"
            assert "retry-after" in headers
            body = json.loads(await second.readexactly(int(headers["content-length"])))
            assert body["error"]["code"] == "overloaded"
            assert "1 requests follow jobs already, which is the limit" in body["error"]["message"]
