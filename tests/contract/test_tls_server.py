"""The server with TLS: who may connect, handshakes that do not end, and certificates that change or expire."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime.edge import edge
from tandem_runtime.server_tls import ServerTls, ServerTlsFiles, TlsEvents, load_server_tls
from tandem_runtime.serving.handshakes import Handshakes
from tandem_runtime.settings import SettingsError
from tandem_runtime.tls_files import InvalidTlsFiles, expiry_of, not_after
from tests.support.certificates import Authority
from tests.support.fakes import eventually
from tests.support.http_talk import GET, App, served
from tests.support.serving import serving

CLOSE = GET.replace(b"host", b"connection: close\r\nhost")


class Seen:
    """What the server reported."""

    def __init__(self) -> None:
        self.expiries: list[float] = []
        self.reloads: list[str] = []
        self.failures: list[str] = []
        self.events = TlsEvents(self.expiries.append, self.reloads.append, self.failures.append)


class Running:
    """A server with TLS, its certificate and its reports."""

    def __init__(self, authority: Authority, files: ServerTlsFiles) -> None:
        self.authority = authority
        self.tls = ServerTls(files)
        self.seen = Seen()
        self.tls.watch(self.seen.events)
        self.app = App()
        self.port = 0

    async def ask(self, context: ssl.SSLContext, name: str = "localhost") -> bytes:
        """Return the answer to one request on a new connection."""
        reader, writer = await self.open(context, name)
        try:
            writer.write(CLOSE % 1)
            return await reader.read()
        finally:
            writer.close()

    async def refuses(self, context: ssl.SSLContext) -> bool:
        """Return whether the server ends the connection without an answer."""
        try:
            return await self.ask(context) == b""
        except (ssl.SSLError, ConnectionError):
            return True

    async def open(
        self, context: ssl.SSLContext, name: str = "localhost"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)


@asynccontextmanager
async def running(
    folder: Path, *, clients: Authority | None = None, until: datetime | None = None
) -> AsyncIterator[Running]:
    authority = Authority(folder / "authority")
    files = authority.server_files(until=until)
    made = Running(authority, files if clients is None else replace(files, client_ca=clients.file))
    async with serving(edge(made.app), tls=made.tls) as made.port:
        yield made


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_requests_are_served_by_tls_1_2_and_1_3(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with running(tmp_path) as server:
        assert (await server.ask(only(server.authority.client_context(), version))).endswith(b"/1")
        assert server.seen.failures == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_1_1_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        context = only(server.authority.client_context(), ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.ask(context)
        await eventually(lambda: asyncio.sleep(0, server.seen.failures), bool)
        assert server.seen.failures == ["version"]


async def test_plain_http_at_the_port_gets_a_plain_refusal_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET % 1)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"this port serves https only" in answer
        assert server.app.asked == []
    assert ("a TLS handshake failed", "no_tls") in [(r.message, getattr(r, "reason", "")) for r in caplog.records]


async def test_tls_at_a_plain_port_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = Authority(tmp_path).client_context()
    async with served() as (app, port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        assert app.asked == []
    (record,) = caplog.records
    assert record.error == "the client speaks TLS: this port serves plain http only"  # type: ignore[attr-defined]


async def test_a_client_of_the_right_authority_alone_may_connect(tmp_path: Path) -> None:
    clients, others = Authority(tmp_path / "clients"), Authority(tmp_path / "others")
    async with running(tmp_path, clients=clients) as server:
        trusts = server.authority.client_context
        assert (await server.ask(trusts(clients.client_files()))).endswith(b"/1")
        for context, reason in ((trusts(), "no_certificate"), (trusts(others.client_files()), "certificate")):
            assert await server.refuses(context)
            assert server.seen.failures[-1] == reason
        assert len(server.app.asked) == 1


async def test_a_client_that_does_not_trust_the_server_sends_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.ask(Authority(tmp_path / "other").client_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            await server.ask(server.authority.client_context(), name="another.test")
        assert server.app.asked == []
        await eventually(lambda: asyncio.sleep(0, server.seen.failures), lambda found: len(found) == 2)


async def test_an_expired_certificate_is_reported_and_refused_by_clients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expired = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    async with running(tmp_path, until=expired) as server:
        assert server.seen.expiries == [expired.timestamp()]
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await server.ask(server.authority.client_context())
    assert "the TLS certificate has expired: clients will refuse it" in [record.message for record in caplog.records]


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"])
async def test_a_handshake_that_does_not_end_ends_the_connection(
    tmp_path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handshakes, "seconds", 0.05)
    async with running(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        assert await until_closed(reader) == b""
        writer.close()
        assert server.seen.failures == ["timeout"]


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_too_many_handshakes_end_the_oldest_and_new_clients_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handshakes, "most", 3)
    async with running(tmp_path) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        for reader, _ in silent[:2]:
            assert await until_closed(reader) == b""
        assert (await server.ask(server.authority.client_context())).endswith(b"/1")
        assert server.seen.failures == ["crowded_out"] * 3
        for _, writer in silent:
            writer.close()


async def test_the_end_of_the_server_ends_handshakes(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16")
        await server.ask(server.authority.client_context())  # the server has accepted the first connection by now
    assert await until_closed(reader) == b""
    writer.close()
    assert server.seen.failures == []


async def test_a_request_may_arrive_with_the_end_of_the_handshake_and_byte_by_byte(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        for size in (1, 7, 1 << 20):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = server.authority.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await in_pieces(writer, outgoing.read(), size)
                    incoming.write(await reader.read(65536))
            client.write(CLOSE % 2)
            await in_pieces(writer, outgoing.read(), size)
            incoming.write(await reader.read())
            assert client.read(65536).endswith(b"/2")
            writer.close()


async def in_pieces(writer: asyncio.StreamWriter, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await writer.drain()


@pytest.mark.parametrize("garbage", [b"\x16" + bytes(5000), b"\x16\x03\x01\xff\xff" + bytes(70_000)])
async def test_garbage_in_place_of_a_handshake_ends_the_connection(tmp_path: Path, garbage: bytes) -> None:
    async with running(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(garbage)
        await until_closed(reader)
        writer.close()
        assert len(server.seen.failures) == 1
        assert (await server.ask(server.authority.client_context())).endswith(b"/1")


async def test_a_new_certificate_serves_new_connections_and_open_ones_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(tmp_path) as server:
        context = server.authority.client_context()
        reader, writer = await server.open(context)
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        server.authority.server_files("renewed.test", until=later)
        server.tls.renew()
        assert (await server.ask(context, "renewed.test")).endswith(b"/1")
        writer.write(CLOSE % 3)
        assert (await reader.read()).endswith(b"/3")
        writer.close()
        assert server.seen.reloads == ["renewed"]
        assert server.seen.expiries[-1] == later.timestamp()
        server.tls.renew()
        assert server.seen.reloads == ["renewed"]
    assert "TLS files renewed" in [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "it is not the key of the certificate"),
        (lambda files, other: files.certificate.write_bytes(b"x"), "it has no certificate in PEM format"),
        (lambda files, other: files.key.write_bytes(b""), "it has no private key"),
        (lambda files, other: files.key.unlink(), "No such file"),
    ],
)
async def test_a_bad_new_pair_keeps_the_old_one_and_counts_once(
    tmp_path: Path,
    damage: Callable[[ServerTlsFiles, ServerTlsFiles], None],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Authority(tmp_path / "other").server_files()
    async with running(tmp_path) as server:
        context = server.authority.client_context()
        files = ServerTlsFiles(tmp_path / "authority" / "server.pem", tmp_path / "authority" / "server.key")
        damage(files, other)
        server.tls.renew()
        server.tls.renew()
        assert (await server.ask(context)).endswith(b"/1")
        assert server.seen.reloads == ["failed"]
        server.authority.server_files("renewed.test")
        server.tls.renew()
        assert (await server.ask(context, "renewed.test")).endswith(b"/1")
        assert server.seen.reloads == ["failed", "renewed"]
    (warned,) = [record for record in caplog.records if "previous certificate stays" in record.message]
    assert message in warned.error  # type: ignore[attr-defined]


async def test_a_removed_client_authority_is_no_longer_accepted(tmp_path: Path) -> None:
    clients, others = Authority(tmp_path / "clients"), Authority(tmp_path / "others")
    async with running(tmp_path, clients=clients) as server:
        context = server.authority.client_context(clients.client_files())
        assert (await server.ask(context)).endswith(b"/1")
        clients.file.write_bytes(others.file.read_bytes())
        server.tls.renew()
        assert await server.refuses(context)
        assert (await server.ask(server.authority.client_context(others.client_files()))).endswith(b"/1")


def test_a_bad_file_at_the_start_names_its_variable(tmp_path: Path) -> None:
    files = Authority(tmp_path / "a").server_files()
    other = Authority(tmp_path / "b").server_files()
    for paths, variable in (
        ((str(files.certificate), str(other.key), ""), "TANDEM_TLS_KEY_FILE"),
        ((str(other.key), str(files.key), ""), "TANDEM_TLS_CERT_FILE"),
        ((str(files.certificate), str(files.key), str(files.key)), "TANDEM_TLS_CLIENT_CA_FILE"),
    ):
        with pytest.raises(SettingsError, match=f"^{variable}="):
            load_server_tls(*paths, prefix="TANDEM_TLS")
    assert load_server_tls("", "", "", prefix="TANDEM_TLS") is None


_ca = trustme.CA()


@given(st.datetimes(datetime(2024, 1, 1), datetime(2099, 12, 31)))
def test_the_expiry_of_a_certificate_is_read(until: datetime) -> None:
    until = until.replace(microsecond=0, tzinfo=UTC)
    pem = (
        _ca.issue_cert("a.test", not_after=until, not_before=datetime(2020, 1, 1, tzinfo=UTC))
        .cert_chain_pems[0]
        .bytes()
    )
    found = not_after(ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert found == x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp() == until.timestamp()


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_damaged_certificate_is_an_error_and_no_crash(noise: bytes, place: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(_ca.cert_pem.bytes().decode())
    for damaged in (noise, der[:place], der[:place] + noise + der[place + len(noise) :]):
        with suppress(ValueError, IndexError):
            not_after(damaged)


def test_a_file_without_a_certificate_has_no_expiry(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(InvalidTlsFiles):
        expiry_of(tmp_path / "x")
