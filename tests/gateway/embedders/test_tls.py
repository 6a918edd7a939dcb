"""TLS between gateway and embedder: certificates of both sides, names, and renewal without a restart."""

import asyncio
import contextlib
import logging
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.messages import ConnectFailed, ConnectionBroken
from tandem_gateway.adapters.http.tls import Tls, TlsFiles, load
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.errors import EmbedderUnavailable, for_log
from tandem_runtime.tls_files import InvalidTlsFiles
from tests.support.certificates import NAME, Authority, Peers, serving_tls, tls_server
from tests.support.embedder_over_tcp import embed, read_request
from tests.support.tcp import start_server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "other")


def transport_to(port: int, tls: Tls, name: str = NAME) -> Http1Transport:
    return Http1Transport(f"https://{name}:{port}", address="127.0.0.1", tls=tls, max_connections=2)


async def called(port: int, tls: Tls, name: str = NAME) -> bytes:
    transport = transport_to(port, tls, name)
    try:
        return (await transport.call("POST", "/x", {}, b"", timeout=5.0)).body
    finally:
        transport.close()


async def test_both_sides_show_a_certificate(authority: Authority):
    peers = Peers()
    async with tls_server(authority.server_context(require=authority), peers) as port:
        assert await called(port, Tls(authority.client_files())) == b"over TLS"
    assert peers.names == ["gateway"]


async def test_a_connection_over_tls_is_used_again(authority: Authority):
    peers = Peers()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.note(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await read_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000)

    async with serving_tls(handler, authority.server_context(require=authority)) as port:
        transport = transport_to(port, Tls(authority.client_files()))
        for _ in range(3):
            response = await transport.call("POST", "/x", {}, b"y" * 100_000, timeout=5.0, max_bytes=100_000)
            assert len(response.body) == 100_000
        transport.close()
    assert peers.names == ["gateway"]


async def test_a_server_without_a_demand_gets_no_certificate_to_see(authority: Authority):
    peers = Peers()
    async with tls_server(authority.server_context(), peers) as port:
        assert await called(port, Tls(TlsFiles(ca=authority.file))) == b"over TLS"
    assert peers.names == [None]


async def test_a_server_of_another_authority_is_refused(authority: Authority, other: Authority):
    async with tls_server(other.server_context()) as port:
        with pytest.raises(ConnectFailed, match=r"its certificate is refused: .*issuer certificate"):
            await called(port, Tls(TlsFiles(ca=authority.file)))


async def test_the_systems_authorities_do_not_count_beside_a_ca_file(
    authority: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    async with tls_server(other.server_context()) as port:
        assert await called(port, Tls()) == b"over TLS"
        with pytest.raises(ConnectFailed, match="its certificate is refused"):
            await called(port, Tls(TlsFiles(ca=authority.file)))


async def test_a_server_with_another_name_is_refused(authority: Authority):
    async with tls_server(authority.server_context("other.test")) as port:
        with pytest.raises(ConnectFailed, match=f"its certificate is refused: .*'{NAME}'"):
            await called(port, Tls(TlsFiles(ca=authority.file)))


async def test_a_url_with_an_address_needs_the_address_in_the_certificate(authority: Authority):
    tls = Tls(TlsFiles(ca=authority.file))
    async with tls_server(authority.server_context("127.0.0.1")) as port:
        assert await called(port, tls, "127.0.0.1") == b"over TLS"
    async with tls_server(authority.server_context()) as port:
        with pytest.raises(ConnectFailed, match=r"its certificate is refused: .*'127\.0\.0\.1'"):
            await called(port, tls, "127.0.0.1")


async def test_a_server_that_demands_a_certificate_closes_without_one(authority: Authority):
    async with tls_server(authority.server_context(require=authority)) as port:
        # With TLS 1.3, the refusal comes after the handshake, with or without an alert.
        with pytest.raises(ConnectionBroken, match="may have refused the client's certificate"):
            await called(port, Tls(TlsFiles(ca=authority.file)))


async def test_a_client_certificate_of_another_authority_is_refused(authority: Authority, other: Authority):
    async with tls_server(authority.server_context(require=authority)) as port:
        with pytest.raises(ConnectionBroken, match="may have refused the client's certificate"):
            await called(port, Tls(replace(other.client_files(), ca=authority.file)))


async def test_a_server_without_tls_cannot_be_reached(authority: Authority):
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    server = await start_server(handler, "127.0.0.1", 0)
    with pytest.raises(ConnectFailed):
        await called(server.sockets[0].getsockname()[1], Tls(TlsFiles(ca=authority.file)))
    server.close()
    await server.wait_closed()


async def test_the_embedder_is_unavailable_and_the_reason_is_named(authority: Authority, other: Authority):
    async with tls_server(other.server_context()) as port:
        transport = transport_to(port, Tls(TlsFiles(ca=authority.file)))
        embedder = HttpEmbedder(f"{NAME}:{port}", transport)
        with pytest.raises(EmbedderUnavailable) as caught:
            await embed(embedder)
        assert "cannot be reached: its certificate is refused" in for_log(caught.value)
        assert (await embedder.probe(timeout=5.0)).found == "unreachable"
        transport.close()


# files that cannot be used


def encrypted(key: Path) -> None:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))


Damage = Callable[[TlsFiles, Authority], object]


def given(path: Path | None) -> Path:
    assert path is not None
    return path


@pytest.mark.parametrize(
    ("damage", "field", "said"),
    [
        (lambda files, other: given(files.ca).unlink(), "ca", "No such file"),
        (lambda files, other: given(files.certificate).unlink(), "certificate", "No such file"),
        (lambda files, other: given(files.key).unlink(), "key", "No such file"),
        (lambda files, other: given(files.ca).write_text("no PEM"), "ca", "no certificate in PEM format"),
        (lambda files, other: given(files.ca).write_text(""), "ca", "no certificate in PEM format"),
        (lambda files, other: given(files.certificate).write_text("no PEM"), "certificate", "no certificate in PEM"),
        (lambda files, other: given(files.key).write_text("no PEM"), "key", "no private key in PEM format"),
        (lambda files, other: encrypted(given(files.key)), "key", "without a passphrase"),
        (
            lambda files, other: given(files.key).write_bytes(given(other.client_files().key).read_bytes()),
            "key",
            "not the key of the certificate",
        ),
    ],
    ids=[
        "no CA file",
        "no certificate file",
        "no key file",
        "a CA file of text",
        "an empty CA file",
        "a certificate file of text",
        "a key file of text",
        "an encrypted key",
        "another key",
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    authority: Authority, other: Authority, damage: Damage, field: str, said: str
):
    files = authority.client_files()
    assert isinstance(load(files), ssl.SSLContext)
    damage(files, other)
    with pytest.raises(InvalidTlsFiles, match=said) as caught:
        Tls(files)
    assert caught.value.path == getattr(files, field)


# renewal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def overwrite(path: Path | None, source: Path | None) -> None:
    """Replace a file as a renewal does: the new content has another time of change."""
    assert path is not None
    assert source is not None
    before = path.stat()
    path.write_bytes(source.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


async def test_new_connections_use_renewed_certificates(authority: Authority, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    clock, peers, files = Clock(), Peers(), authority.client_files()
    tls = Tls(files, clock=clock)
    async with tls_server(authority.server_context(require=authority), peers) as port:
        await called(port, tls)
        renewed = authority.client_files("renewed")
        overwrite(files.certificate, renewed.certificate)
        overwrite(files.key, renewed.key)
        await called(port, tls)  # the last check of the files is too recent
        clock.now += 5.0
        await called(port, tls)
        await called(port, tls)
    assert peers.names == ["gateway", "gateway", "renewed", "renewed"]
    assert [record.message for record in caplog.records if "TLS" in record.message] == ["TLS files renewed"]


async def test_a_renewed_ca_file_decides_which_servers_are_accepted(authority: Authority, other: Authority):
    clock = Clock()
    files = TlsFiles(ca=authority.file)
    tls = Tls(files, clock=clock)
    async with tls_server(other.server_context()) as port:
        with pytest.raises(ConnectFailed, match="refused"):
            await called(port, tls)
        overwrite(authority.file, other.file)
        clock.now += 5.0
        assert await called(port, tls) == b"over TLS"


async def test_a_renewal_that_cannot_be_used_keeps_the_old_and_is_logged_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
):
    clock, peers, files = Clock(), Peers(), authority.client_files()
    renewed = authority.client_files("renewed")
    tls = Tls(files, clock=clock)
    async with tls_server(authority.server_context(require=authority), peers) as port:
        overwrite(files.certificate, renewed.certificate)  # the key is still the old one
        for _ in range(3):
            clock.now += 5.0
            assert await called(port, tls) == b"over TLS"
        given(files.key).unlink()
        clock.now += 5.0
        assert await called(port, tls) == b"over TLS"
        given(files.key).write_bytes(given(renewed.key).read_bytes())
        clock.now += 5.0
        assert await called(port, tls) == b"over TLS"
    assert peers.names == ["gateway"] * 4 + ["renewed"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [vars(record)["error"] for record in warnings] == [
        f"it is not the key of the certificate in {files.certificate}",
        "No such file or directory",
    ]
    assert {vars(record)["file"] for record in warnings} == {str(files.key)}


async def test_a_link_to_other_files_is_a_renewal(authority: Authority, tmp_path: Path):
    """Kubernetes renews a mounted secret by a link to another folder; size and time may stay the same."""
    clock, peers = Clock(), Peers()
    files, renewed = authority.client_files(), authority.client_files("renewed")
    link, mounted = tmp_path / "data", []
    for name, source in (("one", files), ("two", renewed)):
        (tmp_path / name).mkdir()
        for file, path in (("tls.crt", source.certificate), ("tls.key", source.key)):
            (tmp_path / name / file).write_bytes(given(path).read_bytes().ljust(4096, b"\n"))
            os.utime(tmp_path / name / file, (1, 1))
        mounted.append(tmp_path / name)
    link.symlink_to(mounted[0])
    tls = Tls(TlsFiles(authority.file, link / "tls.crt", link / "tls.key"), clock=clock)
    async with tls_server(authority.server_context(require=authority), peers) as port:
        await called(port, tls)
        link.unlink()
        link.symlink_to(mounted[1])
        clock.now += 5.0
        await called(port, tls)
    assert peers.names == ["gateway", "renewed"]


async def test_files_that_stay_are_not_read_again(authority: Authority):
    clock = Clock()
    files = authority.client_files()
    tls = Tls(files, clock=clock)
    before = await tls.context()
    clock.now += 5.0
    assert await tls.context() is before


async def test_a_look_that_hangs_does_not_hold_up_later_connections(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    hanging, looks = threading.Event(), []
    clock = Clock()
    tls = Tls(authority.client_files(), clock=clock)
    before = await tls.context()

    def renew() -> None:
        looks.append(1)
        hanging.wait(30)

    monkeypatch.setattr(tls, "renew", renew)
    monkeypatch.setattr("tandem_gateway.adapters.http.tls._WAIT_SECONDS", 0.01)
    try:
        for _ in range(3):
            clock.now += 5.0
            assert await tls.context() is before
        assert len(looks) == 1
    finally:
        hanging.set()
