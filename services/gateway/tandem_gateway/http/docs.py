"""Serves the OpenAPI document at ``/openapi.json`` and a page that shows it at ``/docs``, from local files only."""

from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency

from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.openapi import document
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.http import Reply

_STATIC: Final = Path(__file__).parent / "static"
# RapiDoc writes styles into the page, so they cannot be forbidden. The page loads nothing from another origin.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# The script is kept compressed: 863 kB would be much for a package. Every browser takes gzip.
_SCRIPT_HEADERS: Final = (
    (b"content-encoding", b"gzip"),
    (b"cache-control", b"max-age=86400"),
    (b"x-content-type-options", b"nosniff"),
)


def docs_router(limits: RequestLimits) -> Router:
    """Return the routes of the document with these limits, and of its page."""
    made: list[bytes] = []

    # In a thread: making the document takes 30 ms.
    @get("/openapi.json", sync_to_thread=True)
    def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not made:
            made.append(msgspec.json.encode(document(request.app, limits)))
        return Sent(Reply(200, made[0]))

    return Router("/", route_handlers=[openapi_document, page, script], include_in_schema=False)


@get("/docs", sync_to_thread=True)
def page() -> Response[bytes]:
    """Return the page."""
    return Sent(Reply(200, (_STATIC / "docs.html").read_bytes(), b"text/html; charset=utf-8", headers=_PAGE_HEADERS))


@get("/docs/rapidoc-min.js", sync_to_thread=True)
def script(bodies: NamedDependency[BodyLimits]) -> Response[bytes]:
    """Return RapiDoc; a lease holds its 218 kB until they are sent."""
    lease = bodies.memory.lease()
    content = (_STATIC / "rapidoc-min.js.gz").read_bytes()
    lease.hold(len(content))
    return Sent(Reply(200, content, b"text/javascript; charset=utf-8", lease=lease, headers=_SCRIPT_HEADERS))
