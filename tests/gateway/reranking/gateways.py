"""A gateway over HTTP with an embedder without a model, in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tandem_gateway import app as gateway_app
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.settings import Settings
from tests.support.fakes import eventually
from tests.support.serving import serving


@asynccontextmanager
async def gateway(data_dir: Path, embedder_url: str, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway and yield a client of it."""
    settings = Settings(data_dir=data_dir, embedder_url=embedder_url, access_log=False, **options)
    app, running = gateway_app.make_app(settings, lambda: None)
    async with serving(app, lifespan=True) as port:
        await eventually(lambda: is_ready(running), bool)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            yield client


async def is_ready(running: Gateway) -> bool:
    try:
        running.ready()
    except Exception:
        return False
    return True
