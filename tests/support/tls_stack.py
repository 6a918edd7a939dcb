"""Both services as real processes with TLS, mutual TLS between them, and a shared token."""

import ssl
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tandem_tools.process import free_port
from tests.support.certificates import Authority
from tests.support.processes import ServiceProcess
from tests.support.stack import wait_until


class TlsStack:
    """An embedder that demands a client certificate and a token, and a gateway that serves https."""

    def __init__(self, folder: Path, model_dir: Path, *, token: str, admin_token: str) -> None:
        """Write certificates and token files, and describe both processes."""
        self.embedders, self.gateways = Authority(folder / "embedders"), Authority(folder / "gateways")
        self.token_file = folder / "token"
        self.token_file.write_text(f"{token}\n")
        inner, self.outer = self.embedders.server_files(), self.gateways.server_files()
        caller = self.embedders.client_files()
        self.key_files = [inner.key, self.outer.key, caller.key]
        self.peer = self.embedders.client_context(caller)
        self.trusting = self.gateways.client_context()
        embedder_port, gateway_port = free_port(), free_port()
        self.embedder_url, self.url = f"https://localhost:{embedder_port}", f"https://localhost:{gateway_port}"
        self.embedder = ServiceProcess(
            "tandem_embedder",
            env={
                "TANDEM_EMBEDDER_PORT": str(embedder_port),
                "TANDEM_MODEL_DIR": str(model_dir),
                "TANDEM_EMBEDDER_TLS_CERT_FILE": str(inner.certificate),
                "TANDEM_EMBEDDER_TLS_KEY_FILE": str(inner.key),
                "TANDEM_EMBEDDER_TLS_CLIENT_CA_FILE": str(self.embedders.file),
                "TANDEM_EMBEDDER_TOKEN_FILE": str(self.token_file),
            },
            log_path=folder / "embedder.log",
        )
        self.gateway = ServiceProcess(
            "tandem_gateway",
            env={
                "TANDEM_GATEWAY_PORT": str(gateway_port),
                "TANDEM_DATA_DIR": str(folder / "data"),
                "TANDEM_TLS_CERT_FILE": str(self.outer.certificate),
                "TANDEM_TLS_KEY_FILE": str(self.outer.key),
                "TANDEM_EMBEDDER_URL": self.embedder_url,
                "TANDEM_EMBEDDER_CA_FILE": str(self.embedders.file),
                "TANDEM_EMBEDDER_CLIENT_CERT_FILE": str(caller.certificate),
                "TANDEM_EMBEDDER_CLIENT_KEY_FILE": str(caller.key),
                "TANDEM_EMBEDDER_TOKEN_FILE": str(self.token_file),
                "TANDEM_ADMIN_TOKEN": admin_token,
            },
            log_path=folder / "gateway.log",
        )
        self.embedder.ready = lambda http: not_ready(self.embedder_url, self.peer)
        self.gateway.ready = lambda http: not_ready(self.url, self.trusting)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for service in (self.embedder, self.gateway):
                opening.enter_context(service)
            self.http = opening.enter_context(client_of(self.url, self.trusting))
            self.at_embedder = opening.enter_context(client_of(self.embedder_url, self.peer))
            wait_until(lambda: self.health()["model_loaded"], "the gateway sees the embedder")
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def health(self) -> "dict[str, object]":
        """Return the gateway's health."""
        found: dict[str, object] = self.http.get("/healthz").json()
        return found

    def ingest_and_wait(self, document: str, text: str) -> None:
        """Ingest a document, and wait until its job is complete."""
        accepted = self.http.post("/v1/ingest", json={"documents": [{"id": document, "text": text}]})
        assert accepted.status_code == 202, accepted.text
        job = f"/v1/jobs/{accepted.json()['job_id']}"
        wait_until(lambda: self.http.get(job).json()["status"] == "completed", "the job is complete")


def client_of(url: str, context: ssl.SSLContext) -> httpx2.Client:
    """Return a client with these certificates; the caller closes it."""
    return httpx2.Client(base_url=url, verify=context, trust_env=False, timeout=30)


def not_ready(url: str, context: ssl.SSLContext) -> str | None:
    """Return why a service is not ready; None if it is."""
    with client_of(url, context) as client:
        status = client.get("/readyz").status_code
    return None if status == httpx2.codes.OK else f"/readyz answered {status}"
