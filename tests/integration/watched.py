"""Both services with a watchdog on their event loop, and requests from another thread."""

import asyncio
import http.client
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tandem_embedder import app as embedder_app
from tandem_embedder.lifecycle import Service
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.settings import Settings as EmbedderSettings
from tandem_gateway import app as gateway_app
from tandem_gateway.settings import Settings
from tests.embedder.serving.doubles import FakeModel, FakeSplitter, FakeTokenizer
from tests.embedder.serving.manifests import MANIFEST
from tests.support.fakes import eventually
from tests.support.serving import serving
from tests.support.watchdog import Watchdog

HELD_SECONDS = 0.1
"""Longest time for which a request may hold the event loop."""


@asynccontextmanager
async def gateway(data_dir: Path, **options: object) -> AsyncIterator[str]:
    settings = Settings(data_dir=data_dir, embedder_url="http://127.0.0.1:9", access_log=False, **options)
    app, running = gateway_app.make_app(settings, lambda: None)
    async with serving(app, lifespan=True) as port:
        await eventually(lambda: is_ready(running), bool)
        yield f"http://127.0.0.1:{port}"


async def is_ready(running: "gateway_app.Gateway") -> bool:
    try:
        running.check_ready()
    except Exception:
        return False
    return True


@asynccontextmanager
async def embedder() -> AsyncIterator[str]:
    loading: Future[LoadedModel] = Future()
    settings = EmbedderSettings(workers=1)
    service = Service(settings, MANIFEST, loading)
    loading.set_result(LoadedModel(FakeTokenizer(), FakeSplitter(), FakeModel(), "int8", 1.0, {}))
    async with serving(embedder_app.make_app(service, settings), lifespan=True) as port:
        yield f"http://127.0.0.1:{port}"


def post(url: str, body: bytes, content_type: str = "application/json", method: str = "POST", **headers: str) -> int:
    """Send a body from a separate thread, in one call, which does not compete for the interpreter's lock."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.request(method, address.path, body, {"content-type": content_type, **headers})
        return connection.getresponse().status
    finally:
        connection.close()


async def held(
    url: str, body: bytes, content_type: str = "application/json", method: str = "POST", **more: str
) -> tuple[int, float]:
    async with Watchdog() as watchdog:
        status = await asyncio.to_thread(post, url, body, content_type, method, **more)
    return status, watchdog.longest
