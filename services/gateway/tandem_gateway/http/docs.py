"""Serves the OpenAPI document at ``/openapi.json`` and a page that shows it at ``/docs``, from local files only."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency

from tandem_gateway.http.asgi_types import scope_of
from tandem_gateway.http.exact_paths import NO_SLASH, QUERY
from tandem_gateway.http.exceptions import Sent
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.openapi import document
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.http import Reply
from tandem_runtime.request_id import header

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

    # In a thread: making the document takes 50 ms.
    @get("/openapi.json", sync_to_thread=True)
    def openapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
        if not made:
            made.append(msgspec.json.encode(document(request.app, limits)))
        return Sent(Reply(200, made[0]))

    return Router("/", route_handlers=[openapi_document, page, script], opt={QUERY: None}, include_in_schema=False)


@get("/docs", sync_to_thread=True, opt={NO_SLASH: True})
def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the page."""
    file = _read("docs.html")
    reply = Reply(200, file.content, b"text/html; charset=utf-8", headers=_PAGE_HEADERS)
    return Sent(_unless_known(request, file, reply))


@get("/docs/rapidoc-min.js", sync_to_thread=True)
def script(request: Request[Any, Any, Any], bodies: NamedDependency[BodyLimits]) -> Response[bytes]:
    """Return RapiDoc; a lease holds its 218 kB until they are sent."""
    file = _read("rapidoc-min.js.gz")
    lease = bodies.memory.lease()
    lease.hold(len(file.content))
    reply = Reply(200, file.content, b"text/javascript; charset=utf-8", lease=lease, headers=_SCRIPT_HEADERS)
    return Sent(_unless_known(request, file, reply))


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    tag: bytes
    """Entity tag: changes with the content."""


def _read(name: str) -> _File:
    content = (_STATIC / name).read_bytes()
    return _File(content, b'"%s"' % hashlib.sha256(content).hexdigest()[:32].encode())


def _unless_known(request: Request[Any, Any, Any], file: _File, reply: Reply) -> Reply:
    """Return the reply with the file's entity tag; 304 if the client has this version (RFC 9110, section 13.1.2)."""
    headers = (*reply.headers, (b"etag", file.tag))
    known = (header(scope_of(request), b"if-none-match") or b"").split(b",")
    if any(tag.strip().removeprefix(b"W/") in (file.tag, b"*") for tag in known):
        return Reply(304, b"", headers=headers)
    return msgspec.structs.replace(reply, headers=headers)
