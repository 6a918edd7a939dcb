"""Finds the caller of each request by its key, before any route, and refuses requests without one.

While access control is off, this costs one attribute of each request.
"""

from collections.abc import Callable
from typing import Final

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.principal import Principal, check_everything
from tandem_gateway.errors import Forbidden, Unauthorized
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.exact_paths import without_slash
from tandem_gateway.records.access import Role
from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send

PRINCIPAL: Final = "tandem.principal"
"""Scope key of the caller; absent while access control is off, and for a request without a valid key."""

OPEN_PATHS: Final = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs", "/docs/rapidoc-min.js"}
)
"""Paths that are answered without a key."""

METRICS: Final = "/metrics"
OPERATORS: Final = "/v1/admin/"
"""Begin of the operators' paths. Their guards decide, because some of them also take TANDEM_ADMIN_TOKEN."""

_SCHEME: Final = b"bearer"
_MISSING: Final = (
    "authorization: an API key was expected, as 'Authorization: Bearer KEY' or in the header api-key or x-api-key"
)
_INVALID: Final = "authorization: the API key is unknown, revoked or expired"


def principal_of(scope: Scope) -> Principal | None:
    """Return the caller of a request; None if it is unknown, or if access control is off."""
    found: Principal | None = scope.get(PRINCIPAL)
    return found


def key_of(scope: Scope) -> bytes:
    """Return the key that a request shows; empty without one. A bearer token counts before the other headers."""
    bearer = key = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.partition(b" ")
            if scheme.lower() == _SCHEME:
                bearer = bearer or credentials.strip()
        elif name in (b"api-key", b"x-api-key"):
            key = key or value.strip()
    return bearer or key


def _wanted(role: Role | None) -> str:
    return "" if role is None else f"; its role must include {role!r}"


def authenticated(
    app: AsgiApp,
    access: AccessControl,
    *,
    open_metrics: bool,
    role_of: Callable[[str, str], Role | None] = lambda method, path: None,
) -> AsgiApp:
    """Return an application that answers requests of known callers only, while access control is on.

    Args:
        app: answers the requests; it finds the caller in the scope.
        access: the keys.
        open_metrics: whether ``/metrics`` needs no key.
        role_of: returns the smallest role for a method and a path, to tell a caller without a key; None if there is no
            such route.
    """
    open_paths = OPEN_PATHS if open_metrics else OPEN_PATHS - {METRICS}

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if access.on and scope["type"] == "http":
            shown = key_of(scope)
            principal = access.authenticate(shown) if shown else None
            path = without_slash(scope["path"])  # it is routed alike
            if principal is None:
                if path not in open_paths and not path.startswith(OPERATORS):
                    wanted = _wanted(role_of(scope["method"], scope["path"]))
                    await reply_to(Unauthorized((_INVALID if shown else _MISSING) + wanted)).send(scope, send)
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
