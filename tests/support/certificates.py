"""A test's certificate authority, and servers and clients with its certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import trustme

from tandem_gateway.adapters.http.tls import TlsFiles
from tandem_runtime.server_tls import ServerTlsFiles
from tests.support.embedder_over_tcp import read_request
from tests.support.tcp import Handler, start_server

NAME = "embedder.test"
"""Name in the servers' certificates. Tests connect to a loopback address instead of resolving it."""


class Authority:
    """Signs certificates; writes them and its own certificate to ``folder``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def client_files(self, name: str = "gateway") -> TlsFiles:
        """Write a client's certificate and key, and return all files that a client needs."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        leaf = self._ca.issue_cert(f"{name}.test", common_name=name)
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return TlsFiles(self.file, certificate, key)

    def server_files(self, name: str = "localhost", *, until: datetime | None = None) -> ServerTlsFiles:
        """Write a server's certificate and key over those that it had; ``until`` is when the certificate expires."""
        certificate, key = self._folder / "server.pem", self._folder / "server.key"
        leaf = self._ca.issue_cert(name, "127.0.0.1", not_after=until)
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return ServerTlsFiles(certificate, key)

    def client_context(self, files: TlsFiles | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority; ``files`` has its own certificate."""
        context = ssl.create_default_context(cafile=str(self.file))
        if files is not None and files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
        return context

    def server_context(self, name: str = NAME, *, require: "Authority | None" = None) -> ssl.SSLContext:
        """Return a server's context; with ``require``, it demands a client certificate signed by that CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name).configure_cert(context)
        if require is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(require.file)
        return context


class Peers:
    """The common names of the clients' certificates, one per connection; None: no certificate."""

    def __init__(self) -> None:
        self.names: list[str | None] = []

    def note(self, writer: asyncio.StreamWriter) -> None:
        """Record the client's name."""
        certificate = writer.get_extra_info("peercert") or {}
        subject = dict(pair for part in certificate.get("subject", ()) for pair in part)
        self.names.append(subject.get("commonName"))


@asynccontextmanager
async def tls_server(context: ssl.SSLContext, peers: Peers | None = None) -> AsyncIterator[int]:
    """A server that answers one request per connection with ``over TLS``; yields its port."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peers is not None:
            peers.note(writer)
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 8\r\n\r\nover TLS")
        await writer.drain()

    async with serving_tls(handler, context) as port:
        yield port


@asynccontextmanager
async def serving_tls(handler: Handler, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve ``handler`` over TLS on a loopback port, and yield the port."""
    server = await start_server(handler, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
