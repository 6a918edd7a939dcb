"""Reads a JWKS: a file, or a URL by httpx2. The only module that makes requests with httpx2's own connections.

The issuer is outside, perhaps behind a proxy of the company, and asked every few minutes: a general client fits. Memory
is bounded by the size of a reply. A client lives for one fetch, so no connection stays open.
"""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import httpx2

from tandem_gateway.adapters.jwt.key_keeper import MAX_JWKS_BYTES, JwksUnavailable

_MAX_REDIRECTS: Final = 3
_CHUNK_BYTES: Final = 16 << 10


class JwksFile:
    """A file, read again each time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def read(self) -> bytes:
        """Return the file's content; see ``JwksSource.read``."""
        return await asyncio.to_thread(self.read_now)

    def read_now(self) -> bytes:
        """Return the file's content; blocks.

        Raises:
            JwksUnavailable: it cannot be read.
        """
        try:
            with self._file.open("rb") as opened:
                content = opened.read(MAX_JWKS_BYTES + 1)
        except OSError as error:
            raise JwksUnavailable(error.strerror or str(error)) from error
        if len(content) > MAX_JWKS_BYTES:
            raise JwksUnavailable(f"it has more than {MAX_JWKS_BYTES} bytes")
        return content


class JwksUrl:
    """A URL. The caller sets the deadline of a whole read."""

    def __init__(self, url: str, *, tls: ssl.SSLContext, plain_http: bool, timeout: float) -> None:
        """Make it.

        Args:
            url: https, or http of a loopback address.
            tls: checks the certificate of the server.
            plain_http: whether http of other addresses is allowed.
            timeout: seconds of each wait for the network.
        """
        self._url = httpx2.URL(url)
        self._tls = tls
        self._plain_http = plain_http
        self._timeout = timeout

    async def read(self) -> bytes:
        """Return the JWKS; see ``JwksSource.read``."""
        try:
            async with httpx2.AsyncClient(verify=self._tls, timeout=self._timeout) as client:
                url = self._url
                for _ in range(_MAX_REDIRECTS + 1):
                    content = await self._get(client, url)
                    if isinstance(content, bytes):
                        return content
                    url = content
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise JwksUnavailable(f"{type(error).__name__}: {str(error)[:200]}") from error
        raise JwksUnavailable(f"more than {_MAX_REDIRECTS} redirects")

    async def _get(self, client: httpx2.AsyncClient, url: httpx2.URL) -> bytes | httpx2.URL:
        """Return a body, or where the server redirects to."""
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
            if response.status_code in (301, 302, 303, 307, 308) and "location" in response.headers:
                return self._redirect(url, response.headers["location"])
            if response.status_code != 200:
                raise JwksUnavailable(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise JwksUnavailable("the reply is compressed, unasked")
            content = bytearray()
            async for chunk in response.aiter_raw(_CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_JWKS_BYTES:
                    raise JwksUnavailable(f"the reply has more than {MAX_JWKS_BYTES} bytes")
            return bytes(content)

    def _redirect(self, url: httpx2.URL, location: str) -> httpx2.URL:
        target = url.join(location)
        if target.scheme != url.scheme:
            raise JwksUnavailable(f"a redirect from {url.scheme} to another scheme")
        if not may_fetch(target.scheme, target.host, plain_http=self._plain_http):
            raise JwksUnavailable("a redirect to an address that http is not allowed for")
        return target


def may_fetch(scheme: str, host: str, *, plain_http: bool) -> bool:
    """Return whether a JWKS may come from there: by https, or by http from this machine.

    Args:
        scheme: of the URL.
        host: of the URL.
        plain_http: whether http of other addresses is allowed.
    """
    if scheme == "https":
        return True
    if scheme != "http":
        return False
    if plain_http or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
