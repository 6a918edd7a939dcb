"""The composition root of the HTTP side: routes, service and wrappers put together into one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar import Litestar, asgi
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend

from tandem_contract.embed import PATH
from tandem_contract.service.request_id import AsgiApp, with_request_id
from tandem_embedder.edge.access import with_access_log
from tandem_embedder.edge.embed_route import EmbedRoute
from tandem_embedder.edge.probes import EXCEPTION_HANDLERS, routes
from tandem_embedder.service import Service


def make_app(service: Service, max_body_bytes: int, access_log: bool) -> AsgiApp:
    """Return the embedder as an ASGI application; its lifespan starts and drains ``service``."""
    # Any: the framework has ASGI types of its own, narrower than ASGI's.
    embed: Any = EmbedRoute(service, service.metrics, max_body_bytes)

    @asgi(PATH, copy_scope=False)
    async def embed_route(scope: LitestarScope, receive: LitestarReceive, send: LitestarSend) -> None:
        await embed(scope, receive, send)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()

    application = Litestar(
        route_handlers=[embed_route, *routes(service)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    app = cast(AsgiApp, application)
    return with_request_id(with_access_log(app) if access_log else app)
