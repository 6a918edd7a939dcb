"""Builds the endpoint for MCP, if it is on."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tandem_gateway.composition.use_cases import request_limits
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.litestar_app import Lifespan
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.settings import Settings
from tandem_runtime.http import Endpoint
from tandem_runtime.settings import SettingsError


@dataclass(frozen=True, slots=True)
class McpParts:
    """The endpoint, and the lifespan in which it answers."""

    endpoint: Endpoint
    lifespan: Lifespan


def build_mcp(gateway: Gateway, settings: Settings, bodies: BodyLimits, lifespan: Lifespan) -> McpParts | None:
    """Build the endpoint for MCP; None if it is off.

    Args:
        gateway: the gateway.
        settings: say whether it is on.
        bodies: limits of bodies.
        lifespan: of the gateway; the endpoint's is within it.

    Raises:
        SettingsError: it is on, and its package is not installed.
    """
    if not settings.mcp:
        return None
    if find_spec("mcp") is None:
        raise SettingsError(
            "TANDEM_MCP: the package mcp is not installed; install tandem-services[gateway,mcp], "
            "or set TANDEM_MCP=false"
        )
    # Only if MCP is on: these modules take 40 MiB.
    from tandem_gateway.http.mcp.server import McpService  # noqa: PLC0415

    service = McpService(gateway, request_limits(settings), bodies, settings.search_timeout)

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[None]:
        outer: AbstractAsyncContextManager[None] = lifespan(app)
        async with outer, service.running():
            yield

    return McpParts(service.endpoint, both)
