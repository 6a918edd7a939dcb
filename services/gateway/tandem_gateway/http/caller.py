"""The gateway as the caller of one request may use it; handlers get it as their dependency ``gateway``."""

from typing import cast

from litestar.types import Scope as LitestarScope

from tandem_gateway.access.callers_keys import CallersKeys
from tandem_gateway.access.principal import Principal
from tandem_gateway.access.use_cases import CallersUseCases
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.records.health import GatewayHealth
from tandem_runtime.request_id import Scope


class CallerGateway:
    """The gateway for one caller."""

    __slots__ = ("_gateway", "_principal")

    def __init__(self, gateway: Gateway, principal: Principal | None) -> None:
        """Make it; ``principal`` is None for an unknown caller and while access control is off."""
        self._gateway = gateway
        self._principal = principal

    def ready(self) -> CallersUseCases:
        """Return the use cases that the caller may use; see ``Gateway.ready``."""
        return self._gateway.ready(self._principal)

    def keys(self) -> CallersKeys:
        """Return the API keys; see ``Gateway.keys``."""
        return self._gateway.keys(self._principal)

    def still_allowed(self) -> bool:
        """Return whether the caller of a long request may go on; see ``AccessControl.still_allows``."""
        access = self._gateway.access
        return access is None or access.still_allows(self._principal)

    def check_ready(self) -> None:
        """Check that the gateway takes requests; see ``Gateway.check_ready``."""
        self._gateway.check_ready()

    async def health(self) -> GatewayHealth:
        """Return the health; without counts for a caller that may not see every collection."""
        return await self._gateway.health(self._principal)

    async def exposition(self) -> bytes:
        """Return the metrics; see ``Gateway.exposition``."""
        return await self._gateway.exposition()


class CallerGateways:
    """Makes the gateway of each request's caller."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def of(self, scope: LitestarScope) -> CallerGateway:
        """Return the gateway for the caller of a request."""
        return CallerGateway(self._gateway, principal_of(cast(Scope, scope)))
