"""Both services with TLS, as real processes: calls with certificates and token, and certificates that are replaced."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.certificates import Authority
from tests.support.stack import wait_until
from tests.support.tls_stack import TlsStack, client_of

TOKEN, ADMIN = "the-shared-token-of-the-test", "the-operators-token-of-the-test"
MOST_BYTES = 88 << 20
"""Maximum resident memory of a gateway with TLS after its startup."""


def series(text: str, name: str) -> dict[str, float]:
    """Return the samples of a metric by their only label."""
    return {
        ",".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_documents_and_searches_travel_over_tls_and_certificates_are_replaced(tmp_path: Path, model_dir: Path) -> None:
    with TlsStack(tmp_path, model_dir, token=TOKEN, admin_token=ADMIN) as stack:
        assert stack.gateway.resident_bytes() < MOST_BYTES
        stack.ingest_and_wait("a", "a cat sat on the mat")
        found = stack.http.post("/v1/search", json={"query": "a pet on a rug", "mode": "dense"})
        assert [hit["id"] for hit in found.json()["results"]] == ["a"]
        refused = stack.at_embedder.post("/embed", json={"texts": ["a"]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        with (
            client_of(stack.embedder_url, stack.embedders.client_context()) as nobody,
            pytest.raises(httpx2.TransportError),
        ):
            nobody.post("/embed", json={"texts": ["a"]}, headers={"authorization": f"Bearer {TOKEN}"})
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
        stack.gateways.server_files(until=later)
        stack.embedders.server_files(until=later)
        for client, name in ((stack.http, "tandem_gateway"), (stack.at_embedder, "tandem_embedder")):
            metric = f"{name}_tls_certificate_expiry_timestamp_seconds"
            wait_until(
                lambda c=client, m=metric: series(c.get("/metrics").text, m)["server"] == later.timestamp(),  # type: ignore[misc]
                "the new certificate is in use",
            )
        assert series(stack.http.get("/metrics").text, "tandem_gateway_tls_reloads_total") == {"renewed": 1.0}
        failed = series(stack.at_embedder.get("/metrics").text, "tandem_embedder_tls_handshakes_failed_total")
        assert failed == {"no_certificate": 1.0}
        stack.ingest_and_wait("b", "a dog")
        with client_of(stack.url, stack.trusting) as anew:
            assert anew.get("/readyz").status_code == 200


def test_plain_http_is_refused_with_the_reason(tmp_path: Path, model_dir: Path) -> None:
    with TlsStack(tmp_path, model_dir, token=TOKEN, admin_token=ADMIN) as stack:
        port = int(stack.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"this port serves https only" in connection.recv(65536)
    errors = [line["error"] for line in stack.gateway.log_lines() if line["message"] == "a TLS handshake failed"]
    assert errors == ["the client speaks no TLS: this port serves https only"]


def test_a_gateway_that_calls_a_tls_embedder_by_http_loses_no_document(tmp_path: Path, model_dir: Path) -> None:
    stack = TlsStack(tmp_path, model_dir, token=TOKEN, admin_token=ADMIN)
    stack.gateway.env["TANDEM_EMBEDDER_URL"] = stack.embedder_url.replace("https", "http")
    for name in ("CA", "CLIENT_CERT", "CLIENT_KEY"):
        del stack.gateway.env[f"TANDEM_EMBEDDER_{name}_FILE"]
    with stack.embedder, stack.gateway, client_of(stack.url, stack.trusting) as http:
        job = http.post("/v1/ingest", json={"documents": [{"id": "a", "text": "a cat"}]}).json()["job_id"]
        error = wait_until(lambda: http.get(f"/v1/jobs/{job}").json()["error"], "the job says why it waits")
        assert "this port serves https only" in error
        assert http.get(f"/v1/jobs/{job}").json()["status"] != "failed"


def test_a_key_that_does_not_fit_ends_the_start_of_both(tmp_path: Path, model_dir: Path) -> None:
    stack = TlsStack(tmp_path, model_dir, token=TOKEN, admin_token=ADMIN)
    other = str(Authority(tmp_path / "other").server_files().key)
    for service, variable in (
        (stack.gateway, "TANDEM_TLS_KEY_FILE"),
        (stack.embedder, "TANDEM_EMBEDDER_TLS_KEY_FILE"),
    ):
        service.env[variable] = other
        assert service.start().wait_exit() == 2
        (error,) = [line for line in service.log_lines() if line["level"] == "error"]
        assert error["error"].startswith(f"{variable}='{other}': it is not the key of the certificate")
        service.close()
