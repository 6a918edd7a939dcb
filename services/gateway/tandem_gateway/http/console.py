"""Serves the console: a page at ``/`` for browsers, and its files below ``/console/``, from local files only.

The files are public: all data comes from the API, with the key that the user types in.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tandem_contract.decoding import cut
from tandem_gateway.http.authentication import CONSOLE
from tandem_runtime.http import ROUTE, Reply, method_not_allowed, refusal
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send, header

_FOLDER: Final = Path(__file__).parent / "static" / "console"
_PAGE: Final = "index.html"
_PLACE: Final = b"{{files}}"
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml; charset=utf-8",
}
_HTML: Final = b"text/html; charset=utf-8"
_METHODS: Final = ("GET", "HEAD")
# Neither styles nor scripts inside the page, nothing from another origin. A script that would make a string into
# elements fails (Trusted Types), so no document can become a part of the page.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_REFUSED: Final = re.compile(rb"q=0(\.0{0,3})?")
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_VARY: Final = (b"vary", b"accept")
_PAGE_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
    _VARY,
    _NOSNIFF,
)
_FILE_HEADERS: Final = ((b"cache-control", b"public, max-age=31536000, immutable"), _NOSNIFF)


@dataclass(frozen=True, slots=True)
class Console:
    """The page and its files, some 200 kB in memory.

    Attributes:
        page: the page, which names its files below a folder that changes with their content.
        tag: entity tag of the page.
        files: path → reply with the file, for a year in the browser's cache.
    """

    page: bytes
    tag: bytes
    files: Mapping[str, Reply]


def read_console(folder: Path = _FOLDER) -> Console:
    """Read the console from a folder."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(b"%s %d\n%s" % (name.encode(), len(content), content))
    place = f"{CONSOLE}{digest.hexdigest()[:16]}"
    page = (folder / _PAGE).read_bytes().replace(_PLACE, place.removeprefix("/").encode())
    files = {
        f"{place}/{name}": Reply(200, content, _TYPES[Path(name).suffix], headers=_FILE_HEADERS)
        for name, content in contents.items()
    }
    return Console(page, b'"%s"' % hashlib.sha256(page).hexdigest()[:32].encode(), files)


def prefers_html(accept: bytes) -> bool:
    """Return whether an Accept header names HTML, and JSON not before it: browsers do, clients of the API do not."""
    kinds = [
        kind.strip().lower()
        for kind, _, options in (part.partition(b";") for part in accept.split(b","))
        if not _REFUSED.fullmatch(options.strip().lower())
    ]
    if b"text/html" not in kinds:
        return False
    return b"application/json" not in kinds or kinds.index(b"text/html") < kinds.index(b"application/json")


def with_console(app: AsgiApp, console: Console) -> AsgiApp:
    """Return an application that serves the console to browsers, and everything else by ``app``."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path == "/" and scope["method"] in _METHODS:
            if prefers_html(header(scope, b"accept") or b""):
                scope[ROUTE] = "/"
                await _page(scope, console).send(scope, send)
            else:
                await app(scope, receive, _varied(send))
        elif path.startswith(CONSOLE):
            scope[ROUTE] = f"{CONSOLE}{{file}}"
            if scope["method"] not in _METHODS:
                await method_not_allowed(scope, b"GET, HEAD").send(scope, send)
                return
            await console.files.get(path, _missing(path)).send(scope, send)
        else:
            await app(scope, receive, send)

    return served


def _page(scope: Scope, console: Console) -> Reply:
    headers = (*_PAGE_HEADERS, (b"etag", console.tag))
    known = (header(scope, b"if-none-match") or b"").split(b",")
    if any(tag.strip().removeprefix(b"W/") in (console.tag, b"*") for tag in known):
        return Reply(304, b"", headers=headers)
    return Reply(200, console.page, _HTML, headers=headers)


def _missing(path: str) -> Reply:
    message = f"there is nothing at {cut(path)}; a page of another release asks for it if a reload of / helps"
    return refusal("not_found", message, "path", extra_headers=((b"cache-control", b"no-store"),))


def _varied(send: Send) -> Send:
    """Return a send function that says that the reply depends on the Accept header."""

    async def send_varied(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _VARY]}
        await send(message)

    return send_varied
