"""The composition root of the HTTP side: routes, service and wrappers put together into one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.routing import Route, Router

from tandem_contract.embed import PATH
from tandem_contract.service.access_log import make_access_log
from tandem_contract.service.http import at_paths, not_found
from tandem_contract.service.observation import observed
from tandem_contract.service.request_id import AsgiApp, with_request_id
from tandem_embedder.edge.embed_route import EmbedRoute
from tandem_embedder.edge.probes import probes
from tandem_embedder.service import Service


def make_app(service: Service, max_body_bytes: int, access_log: bool) -> AsgiApp:
    """Return the embedder as an ASGI application; its lifespan starts and drains ``service``."""
    log = make_access_log("embedder", wanted=access_log)

    @asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.stop()
            if log is not None:
                log.flush()

    apps: dict[str, AsgiApp] = {PATH: EmbedRoute(service, service.metrics, max_body_bytes)}
    apps |= {endpoint.template: endpoint for endpoint in probes(service)}
    router: AsgiApp = Router(
        [Route(template, app) for template, app in apps.items()],
        redirect_slashes=False,
        default=not_found,
        lifespan=lifespan,
    )
    return with_request_id(observed(at_paths(apps, router), [log.record] if log is not None else []))
