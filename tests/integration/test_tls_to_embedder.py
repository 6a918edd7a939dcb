"""A gateway reaches its embedder over mutual TLS; another one refuses its files at startup."""

from pathlib import Path

from tests.support.certificates import Authority
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process

MOST_BYTES = 88 << 20
"""Maximum resident memory of a gateway after its startup."""


def gateway_of(folder: Path, url: str, authority: Authority) -> tuple[ServiceProcess, Client]:
    files = authority.client_files()
    return gateway_process(
        folder,
        folder / "data",
        url,
        env={
            "TANDEM_EMBEDDER_CA_FILE": str(files.ca),
            "TANDEM_EMBEDDER_CLIENT_CERT_FILE": str(files.certificate),
            "TANDEM_EMBEDDER_CLIENT_KEY_FILE": str(files.key),
        },
    )


def test_documents_and_searches_travel_over_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with HttpFakeEmbedder(authority.server_context("localhost", require=authority)) as embedder:
        gateway, client = gateway_of(tmp_path, embedder.url, authority)
        with gateway:
            assert gateway.resident_bytes() < MOST_BYTES
            client.ingest_and_wait([{"id": "a", "text": "a cat"}, {"id": "b", "text": "a dog"}])
            assert client.found("a cat", top_k=1) == ["a"]
            assert client.health().status == "ok"
        client.close()


def test_an_embedder_of_another_authority_gets_no_text_and_the_reason_is_logged(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    with HttpFakeEmbedder(other.server_context("localhost")) as embedder:
        gateway, client = gateway_of(tmp_path, embedder.url, authority)
        with gateway:
            reply = client.http.post("/v1/search", json={"query": "a cat", "mode": "dense"})
            assert (reply.status_code, reply.json()["error"]["code"]) == (503, "embedder_unavailable")
        client.close()
    assert "its certificate is refused: unable to get local issuer certificate" in gateway.log_text()


def test_a_key_that_does_not_fit_ends_the_start(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    gateway, client = gateway_of(tmp_path, "https://localhost:8443", authority)
    gateway.env["TANDEM_EMBEDDER_CLIENT_KEY_FILE"] = str(other.client_files().key)
    assert gateway.start().wait_exit() == 2
    client.close()
    (error,) = [line for line in gateway.log_lines() if line["level"] == "error"]
    assert error["message"] == "cannot start"
    assert error["error"].startswith("TANDEM_EMBEDDER_CLIENT_KEY_FILE=")
    assert "not the key of the certificate" in error["error"]
