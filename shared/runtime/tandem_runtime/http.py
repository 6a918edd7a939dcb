"""Endpoints and replies of a Tandem service in plain ASGI; an HTTP framework only routes to the endpoint."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from tandem_contract import headers
from tandem_contract.decoding import cut
from tandem_contract.errors import ErrorCode
from tandem_runtime.body import ClientGone
from tandem_runtime.client_connection import connection_of
from tandem_runtime.memory import Lease
from tandem_runtime.replies import STATUS, error_reply, retry_after
from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send

log = logging.getLogger(__name__)

JSON: Final = headers.JSON.encode()
MSGPACK: Final = headers.MSGPACK.encode()

NOT_MODIFIED: Final = 304
_WITHOUT_BODY: Final = (204, NOT_MODIFIED)

ROUTE: Final = "tandem.route"
"""Scope key of the matched path's template, for metrics."""

CODE: Final = "tandem.code"
"""Scope key of the error code of the reply, for logs; absent after a success."""

CLIENT_GONE: Final = 499
"""Status of a request whose client disconnected. It is never sent; metrics and logs use it, as other servers do."""


class Reply(msgspec.Struct, frozen=True):
    """A whole response; ``code`` is the error code, None for a success."""

    status: int
    body: bytes
    content_type: bytes = JSON
    code: ErrorCode | None = None
    lease: Lease | None = None
    """Lease of the body's memory; None for a small body."""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, scope: Scope, send: Send) -> None:
        """Send the response."""
        if self.code is not None:
            scope[CODE] = self.code
        headers = [(b"content-type", self.content_type), (b"content-length", b"%d" % len(self.body)), *self.headers]
        if self.status in _WITHOUT_BODY:  # these two would describe the body of another status
            del headers[:2]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
        if self.lease is not None and (connection := connection_of(scope)) is not None:
            connection.keep(self.lease)


def refusal(
    code: ErrorCode,
    message: str,
    param: str | None = None,
    retry_after_seconds: float | None = None,
    extra_headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Reply:
    """Return an error as a reply."""
    more = extra_headers
    if retry_after_seconds is not None:
        more = (*more, (b"retry-after", retry_after(retry_after_seconds).encode()))
    return Reply(STATUS[code], error_reply(code, message, param), code=code, headers=more)


def method_not_allowed(scope: Scope, allow: bytes) -> Reply:
    """Return the reply to a request of a method that its path does not have; ``allow`` lists those that it has."""
    message = f"{scope['method']} is not allowed at {cut(scope['path'])}; send {allow.decode()}"
    return refusal("method_not_allowed", message, "method", extra_headers=((b"allow", allow),))


def shutting_down(who: str = "the service") -> Reply:
    """Return the reply to a request that the shutdown cancels: its client is still there."""
    return refusal("not_ready", f"{who} is shutting down", retry_after_seconds=1.0)


Handler = Callable[[Scope, Receive], Awaitable[Reply]]


class Endpoint:
    """All methods of one path, as an ASGI application that answers every request, even after an error."""

    def __init__(self, template: str, handlers: Mapping[str, Handler], on_error: Callable[[Exception], Reply]) -> None:
        """Make the endpoint.

        Args:
            template: the path's template, as metrics show it.
            handlers: method → handler; GET's handler also answers HEAD.
            on_error: turns a handler's exception into a reply.
        """
        self.template = template
        self.handlers = dict(handlers)
        self._on_error = on_error
        self._allow = ", ".join(sorted({*handlers, *(["HEAD"] if "GET" in handlers else [])})).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[ROUTE] = self.template
        method = scope["method"]
        handler = self.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            await method_not_allowed(scope, self._allow).send(scope, send)
            return
        try:
            reply = await handler(scope, receive)
        except ClientGone:
            return
        except asyncio.CancelledError:
            reply = shutting_down()  # nothing else cancels a request whose client is still there
        except Exception as error:
            reply = self._on_error(error)
        await reply.send(scope, send)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request for an unknown path."""
    await refusal("not_found", f"there is nothing at {cut(scope['path'])}", "path").send(scope, send)


def route_by_path(apps: Mapping[str, AsgiApp], otherwise: AsgiApp) -> AsgiApp:
    """Return an application that serves fixed paths with ``apps``, and all others with ``otherwise``.

    A router tries the patterns of its routes one by one. A path without a parameter needs only a dictionary lookup.
    Some clients add a slash to a path, so a fixed path with one slash more is served too.

    Args:
        apps: path template → application; ``otherwise`` serves the templates that have a parameter.
        otherwise: the router.
    """
    fixed = {template: app for template, app in apps.items() if "{" not in template}
    fixed |= {f"{template}/": app for template, app in fixed.items() if not template.endswith("/")}

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        app = fixed.get(scope["path"], otherwise) if scope["type"] == "http" else otherwise
        await app(scope, receive, send)

    return routed
