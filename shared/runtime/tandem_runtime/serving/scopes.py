"""Builds the ASGI scope of a request (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools

from tandem_runtime.request_id import Scope
from tandem_runtime.serving.reader import Head
from tandem_runtime.serving.refusal import Refusal


class ConnectionScope:
    """The part of the scope that all requests of a connection share."""

    def __init__(self, transport: asyncio.BaseTransport, asgi_version: str, state: dict[str, Any]) -> None:
        """Ask the transport for the addresses.

        Args:
            transport: of the connection.
            asgi_version: version of ASGI that the application speaks.
            state: state of the lifespan; each request gets a copy.
        """
        self._state = state
        self._asgi = {"version": asgi_version, "spec_version": "2.3"}
        self._server = _address(transport, "sockname")
        self._client = _address(transport, "peername")
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def of(self, head: Head) -> Scope:
        """Return the scope of a request.

        Raises:
            Refusal: the request's target is not a URL.
        """
        try:
            url = httptools.parse_url(head.url)
        except httptools.HttpParserInvalidURLError:
            raise Refusal(400, "malformed_body", "path: the request's target is not a valid URL", "path") from None
        raw_path: bytes = url.path or b"/"  # "http://host" has no path
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": self._asgi,
            "http_version": head.version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "root_path": "",
            "headers": head.headers,
            "state": self._state.copy(),
            "method": head.method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": url.query or b"",
        }


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    address = transport.get_extra_info(name)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
