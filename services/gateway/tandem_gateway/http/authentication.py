"""Finds the caller of each request by its key or its JWT, before any route, and refuses requests without one.

While access control is off, this costs one attribute of each request.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.pacing import OF_STRANGERS, Pace
from tandem_gateway.access.principal import Principal, check_everything
from tandem_gateway.access.tokens import is_token
from tandem_gateway.errors import Forbidden, Unauthorized
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.exact_paths import without_slash
from tandem_gateway.ports.tokens import ClaimsRefused, RefusalReason, TokenRefused
from tandem_gateway.records.access import Role
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

PRINCIPAL: Final = "tandem.principal"
"""Scope key of the caller; absent while access control is off, and for a request without a valid key."""

OPEN_PATHS: Final = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs", "/docs/rapidoc-min.js"}
)
"""Paths that are answered without a key."""

CONSOLE: Final = "/console/"
"""Begin of the paths of the console's files, which are answered without a key."""

METRICS: Final = "/metrics"
OPERATORS: Final = "/v1/admin/"
"""Begin of the operators' paths. Their guards decide, because some of them also take TANDEM_ADMIN_TOKEN."""

_UNAUTHORIZED: Final = 401
_SCHEME: Final = b"bearer"
_MISSING: Final = (
    "authorization: an API key was expected, as 'Authorization: Bearer KEY' or in the header api-key or x-api-key"
)
_INVALID: Final = "authorization: the API key is unknown, revoked or expired"
_SEVERAL: Final = "authorization: one bearer token was expected, and the request has several"
_NOT_VALID: Final = "the token is not valid"
_DESCRIPTIONS: Final[dict[RefusalReason, str]] = {
    "expired": "the token has expired",
    "not_yet_valid": "the token is not valid yet",
    "audience": "the token is for another audience",
    "too_large": "the token is too large",
}
"""What a caller learns about its JWT. The first three are of tokens with a right signature."""

_LOG_SECONDS: Final = 10.0


def principal_of(scope: Scope) -> Principal | None:
    """Return the caller of a request; None if it is unknown, or if access control is off."""
    found: Principal | None = scope.get(PRINCIPAL)
    return found


def credentials_of(scope: Scope) -> tuple[list[bytes], bytes]:
    """Return the different bearer tokens that a request shows, and its key in another header; empty without one."""
    bearers: list[bytes] = []
    key = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            shown = credentials.strip()
            if scheme.lower() == _SCHEME and shown and shown not in bearers:
                bearers.append(shown)
        elif name in (b"api-key", b"x-api-key"):
            key = key or value.strip()
    return bearers, key


class Refusals:
    """Counts refused requests by reason, and logs at most one line a reason every ten seconds."""

    def __init__(self, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._clock = clock
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def record(self, reason: str) -> None:
        """Count a refused request. The number of reasons is bounded: none comes from a request."""
        self._count(reason)
        now = self._clock()
        requests = self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
        if now - self._logged.get(reason, float("-inf")) >= _LOG_SECONDS:
            self._logged[reason] = now
            self._unlogged[reason] = 0
            log.warning("requests refused: who calls is not known", extra={"reason": reason, "requests": requests})


class _Refused(Exception):
    def __init__(self, reason: str, error: Unauthorized | Forbidden) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


async def _caller(scope: Scope, access: AccessControl) -> Principal:
    """Return the caller of a request. A bearer token counts before the other headers.

    Raises:
        _Refused: it is unknown, or its token allows nothing.
    """
    bearers, key = credentials_of(scope)
    if len(bearers) > 1:  # a proxy in front may have looked at another one
        raise _Refused("several", Unauthorized(_SEVERAL))
    shown = bearers[0] if bearers else key
    if not shown:
        raise _Refused("missing", Unauthorized(_MISSING))
    principal = access.authenticate(shown)
    if principal is not None:
        return principal
    if access.tokens is None or not bearers or not is_token(shown):
        raise _Refused("api_key", Unauthorized(_INVALID))
    try:
        return await access.tokens.authenticate(shown)
    except TokenRefused as refused:
        description = _DESCRIPTIONS.get(refused.reason, _NOT_VALID)
        error = Unauthorized(f"authorization: {description}", description=description)
        raise _Refused(refused.reason, error) from None
    except ClaimsRefused as refused:
        raise _Refused(refused.reason, Forbidden(str(refused))) from None


def _wanted(role: Role | None) -> str:
    return "" if role is None else f"; its role must include {role!r}"


def authenticated(
    app: AsgiApp,
    access: AccessControl,
    *,
    open_metrics: bool,
    refused: Callable[[str], None] = lambda reason: None,
    role_of: Callable[[str, str], Role | None] = lambda method, path: None,
    hold: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsgiApp:
    """Return an application that answers requests of known callers only, while access control is on.

    Args:
        app: answers the requests; it finds the caller in the scope.
        access: the keys.
        open_metrics: whether ``/metrics`` needs no key.
        refused: counts a refused request by its reason.
        role_of: returns the smallest role for a method and a path, to tell a caller without a key; None if there is no
            such route.
        hold: lets the answer to a refused request wait; see ``access.pacing``.
    """
    pace = Pace(OF_STRANGERS)
    open_paths = OPEN_PATHS if open_metrics else OPEN_PATHS - {METRICS}
    refusals = Refusals(refused)

    async def refuse(reason: str) -> None:
        """Count a refused request, and wait until it may be answered."""
        refusals.record(reason)
        if seconds := pace.wait():
            await hold(seconds)

    def telling(send: Send, reason: str) -> Send:
        """Return a send function for an operators' path, whose guard may refuse the request."""

        async def send_and_tell(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED:
                await refuse(reason)
            await send(message)

        return send_and_tell

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if access.on and scope["type"] == "http":
            path = without_slash(scope["path"])  # it is routed alike
            try:
                principal = await _caller(scope, access)
            except _Refused as refusal:
                if path.startswith(OPERATORS):
                    send = telling(send, refusal.reason)
                elif path not in open_paths and not path.startswith(CONSOLE):
                    answer = refusal.error
                    if isinstance(answer, Unauthorized):
                        wanted = _wanted(role_of(scope["method"], scope["path"]))
                        answer = Unauthorized(f"{answer}{wanted}", description=answer.description)
                    await refuse(refusal.reason)
                    await reply_to(answer).send(scope, send)
                    return
            else:
                scope[PRINCIPAL] = principal
                if path == METRICS and not open_metrics:
                    try:
                        check_everything(principal, "search")
                    except Forbidden as error:
                        await reply_to(error).send(scope, send)
                        return
        await app(scope, receive, send)

    return checked
