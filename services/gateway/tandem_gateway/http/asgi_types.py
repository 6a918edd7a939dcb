"""A Litestar request's scope and receive function in the types of the runtime, whose functions know no framework."""

from typing import Any, cast

from litestar import Request

from tandem_runtime.request_id import Receive, Scope


def scope_of(request: Request[Any, Any, Any]) -> Scope:
    """Return the request's ASGI scope."""
    return cast(Scope, request.scope)


def receive_of(request: Request[Any, Any, Any]) -> Receive:
    """Return the request's ASGI receive function."""
    return cast(Receive, request.receive)
