"""The probes of a gateway whose store is PostgreSQL: they keep it in its Service while the database is away."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psycopg
import pytest

from tandem_gateway import app as gateway_app
from tandem_gateway.adapters.postgres import lanes, outage
from tandem_gateway.adapters.sqlite.lexical import follower
from tandem_gateway.errors import NotReady
from tandem_gateway.lifecycle import Gateway, snapshots
from tandem_gateway.settings import Settings
from tests.support import postgres
from tests.support.connections import STANDING
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.postgres import PostgresServer
from tests.support.serving import serving

REQUESTS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/search", {"query": "cat", "mode": "lexical"}),
    ("POST", "/v1/search", {"query": "cat", "mode": "dense"}),
    ("POST", "/v1/search", {"query": "cat", "mode": "hybrid"}),
    ("POST", "/v1/ingest", {"documents": [{"id": "b", "text": "a dog"}]}),
    ("DELETE", "/v1/collections/default/documents/a", None),
    ("GET", "/v1/collections", None),
)


class Served:
    """A gateway in this process, and a client of it."""

    def __init__(self, gateway: Gateway, client: httpx.AsyncClient, failed: asyncio.Event) -> None:
        self.gateway = gateway
        self.client = client
        self.failed = failed

    async def status(self, method: str, path: str, body: Any = None) -> int:
        reply = await self.client.request(method, path, json=body)
        return reply.status_code

    async def ready(self) -> int:
        return await self.status("GET", "/readyz")

    async def ingest(self, *names: str) -> None:
        documents = [{"id": name, "text": f"a cat named {name}"} for name in names]
        reply = await self.client.post("/v1/ingest", json={"documents": documents})
        assert reply.status_code == 202, reply.text
        path = f"/v1/jobs/{reply.json()['job_id']}"
        await eventually(lambda: self.client.get(path), lambda reply: reply.json()["status"] == "completed")

    async def found(self, mode: str = "lexical") -> set[str]:
        reply = await self.client.post("/v1/search", json={"query": "cat", "mode": mode, "top_k": 50})
        assert reply.status_code == 200, reply.text
        return {hit["id"] for hit in reply.json()["results"]}


@pytest.fixture(scope="module")
def embedder() -> Iterator[HttpFakeEmbedder]:
    with HttpFakeEmbedder() as running:
        yield running


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    made = PostgresServer()
    yield made
    made.remove()


@asynccontextmanager
async def serve(data_dir: Path, url: str, embedder: HttpFakeEmbedder) -> AsyncIterator[Served]:
    settings = Settings(data_dir=data_dir, store_url=url, embedder_url=embedder.url, access_log=False)
    failed = asyncio.Event()
    app, gateway = gateway_app.make_app(settings, failed.set)
    async with (
        serving(app, lifespan=True) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        served = Served(gateway, client, failed)
        await eventually(served.ready, lambda status: status == 200)
        yield served


async def test_it_stays_ready_and_alive_while_the_database_is_away(
    server: PostgresServer, embedder: HttpFakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outage, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(outage, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(lanes, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(snapshots, "_LOOK_SECONDS", 0.01)
    async with serve(tmp_path, server.url(), embedder) as served:
        await served.ingest("a")
        server.stop(signal.SIGQUIT)
        replies = await asyncio.gather(
            *(served.client.request(method, path, json=body) for method, path, body in REQUESTS * 5)
        )
        assert [(reply.status_code, reply.headers["retry-after"]) for reply in replies] == [(503, "1")] * len(replies)
        assert {reply.json()["error"]["code"] for reply in replies} == {"storage_unavailable"}
        health = await served.client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "failed")
        assert await served.status("GET", "/metrics") == 200
        assert (await served.ready(), await served.status("GET", "/livez")) == (200, 200)
        server.start()
        await eventually(lambda: served.status("POST", "/v1/search", {"query": "cat"}), lambda status: status == 200)
        await served.ingest("b")
        for mode in ("lexical", "dense"):
            assert await served.found(mode) == {"a", "b"}
        assert (await served.ready(), (await served.client.get("/healthz")).json()["status"]) == (200, "ok")
        assert "tandem_gateway_task_restarts_total 0.0" in (await served.client.get("/metrics")).text


async def test_it_is_ready_once_its_indexes_have_what_others_wrote(
    embedder: HttpFakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "_MAX_BEHIND", 0)  # a keyword index that is behind refuses searches
    monkeypatch.setattr(follower, "_PAGE_PASSAGES", 1)
    url = postgres.databases().take()
    names = {str(number) for number in range(30)}
    async with serve(tmp_path / "one", url, embedder) as one:
        await one.ingest(*names)
    async with serve(tmp_path / "two", url, embedder) as two:
        assert await two.found() == names
        assert await two.found("dense") == names
    postgres.databases().give_back(url)


async def test_it_takes_no_more_connections_than_the_page_says(embedder: HttpFakeEmbedder, tmp_path: Path):
    url = postgres.databases().take()
    filtered = ("POST", "/v1/search", {"query": "cat", "filter": {"kind": {"$eq": "a"}}})
    async with serve(tmp_path, url, embedder) as served:
        await served.ingest(*(str(number) for number in range(20)))
        replies = await asyncio.gather(
            *(served.client.request(*each[:2], json=each[2]) for each in (*REQUESTS, filtered) * 20)
        )
        assert {reply.status_code for reply in replies} <= {200, 202, 204, 404}
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert row is not None
        assert STANDING - 2 <= row[0] <= STANDING
    postgres.databases().give_back(url)


async def test_it_is_not_ready_while_it_drains(embedder: HttpFakeEmbedder, tmp_path: Path):
    url = postgres.databases().take()
    async with serve(tmp_path, url, embedder) as served:
        served.gateway.drain()
        assert (await served.ready(), await served.status("GET", "/livez")) == (503, 200)
    postgres.databases().give_back(url)


async def test_it_ends_when_the_store_has_lost_commits(embedder: HttpFakeEmbedder, tmp_path: Path):
    server = postgres.server()
    with psycopg.connect(server.url(), autocommit=True) as admin:
        url = postgres.databases().take()
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        async with serve(tmp_path, url, embedder) as first:
            await first.ingest("kept")
        admin.execute(f"CREATE DATABASE {name}_backup TEMPLATE {name}")
        async with serve(tmp_path, url, embedder) as second:
            await second.ingest("lost")
            assert await second.found() == {"kept", "lost"}
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"ALTER DATABASE {name}_backup RENAME TO {name}")
            async with asyncio.timeout(20):
                await second.failed.wait()
            assert await second.ready() == 503
            with pytest.raises(NotReady, match="start the gateway again"):
                second.gateway.check_ready()
        async with serve(tmp_path, url, embedder) as again:
            assert await again.found() == {"kept"}
            assert await again.found("dense") == {"kept"}
    postgres.databases().give_back(url)
