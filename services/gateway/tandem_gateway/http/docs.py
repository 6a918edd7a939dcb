"""Serves the OpenAPI document."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get

from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.openapi import document
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.http import Reply


def docs_router(limits: RequestLimits) -> Router:
    """Return the routes of the document with these limits."""
    made: list[bytes] = []

    @get("/openapi.json", include_in_schema=False, sync_to_thread=True)  # making it takes 30 ms
    def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not made:
            made.append(msgspec.json.encode(document(request.app, limits)))
        return Sent(Reply(200, made[0]))

    return Router("/", route_handlers=[openapi_document])
