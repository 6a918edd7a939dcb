"""Both services as real processes on free ports, and a client of the gateway for tests.

with Stack(tmp_path, model_dir) as stack:
    stack.client.ingest_and_wait([{"id": "a", "text": "a cat"}])
    hits = stack.client.search("a pet").results
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from tandem_contract.client_api import Job
from tandem_tools.client import Client as ApiClient
from tandem_tools.process import free_port
from tandem_tools.readiness import POLL_SECONDS, get
from tests.support.processes import ServiceProcess

JOB_SECONDS = 120.0

T = TypeVar("T")

Document = dict[str, Any]


def wait_until(look: Callable[[], T | None], what: str, timeout: float = 30.0) -> T:
    """Return the first truthy value that ``look`` returns; fail the test after the timeout."""
    until = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < until, f"{what}: not within {timeout:g} s, last seen {seen!r}"
        time.sleep(POLL_SECONDS)


def metric(url: str, name: str, labels: Mapping[str, str] | None = None) -> float:
    """Return the sum of a metric's samples that have these labels; 0 if there is none."""
    status, body = get(f"{url}/metrics")
    assert status == 200, f"{url}/metrics answered {status}: {body[:200]!r}"
    wanted = dict(labels or {}).items()
    return sum(
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name and wanted <= sample.labels.items()
    )


class Client(ApiClient):
    """The API client with functions for tests; an unexpected status raises ApiError."""

    def wait_job(self, job_id: str, timeout: float = JOB_SECONDS) -> Job:
        """Return a job once it is finished, in any state."""

        def finished() -> Job | None:
            job = self.job(job_id)
            return job if job.status in ("completed", "failed") else None

        return wait_until(finished, f"the end of job {job_id}", timeout)

    def ingest_and_wait(self, documents: Sequence[Document], collection: str | None = None) -> Job:
        """Ingest, wait, and return the completed job."""
        job = self.wait_job(self.ingest(documents, collection).job_id)
        assert job.status == "completed", job
        assert job.error is None, job
        return job

    def found(self, query: str, top_k: int | None = None, collection: str | None = None) -> list[str]:
        """Search and return the hits' ids."""
        return [hit.id for hit in self.search(query, top_k, collection).results]

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return a metric of the gateway."""
        return metric(self.url, name, labels)


class Stack:
    """An embedder and a gateway with its own data directory; a test can kill and restart each of them."""

    def __init__(
        self,
        folder: Path,
        model_dir: Path,
        *,
        gateway_env: Mapping[str, str] | None = None,
        embedder_env: Mapping[str, str] | None = None,
    ) -> None:
        self.embedder = embedder_process(folder, model_dir, env=embedder_env)
        self.data_dir = folder / "data"
        self.gateway, self.client = gateway_process(folder, self.data_dir, service_url(self.embedder), env=gateway_env)

    @property
    def embedder_url(self) -> str:
        """The embedder's URL."""
        return service_url(self.embedder)

    def __enter__(self) -> Self:
        self.embedder.start()
        self.gateway.start()
        try:
            self.embedder.wait_ready()
            self.gateway.wait_ready()
            wait_until(lambda: self.client.health().model_loaded, "the gateway sees the embedder")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for service in (self.gateway, self.embedder):
                    if service.is_running():
                        assert service.terminate() == 0, service.log_text()
        finally:
            self._close()

    def _close(self) -> None:
        self.client.close()
        self.gateway.close()
        self.embedder.close()


def embedder_process(
    folder: Path,
    model_dir: Path,
    *,
    port: int | None = None,
    name: str = "embedder",
    env: Mapping[str, str] | None = None,
) -> ServiceProcess:
    """Return an embedder that is not started; its log is ``<name>.log``."""
    number = port or free_port()
    return ServiceProcess(
        "tandem_embedder",
        env={"TANDEM_EMBEDDER_PORT": str(number), "TANDEM_MODEL_DIR": str(model_dir), **(env or {})},
        ready_url=f"http://127.0.0.1:{number}/readyz",
        log_path=folder / f"{name}.log",
    )


def gateway_process(
    folder: Path, data_dir: Path, embedder_url: str, *, name: str = "gateway", env: Mapping[str, str] | None = None
) -> tuple[ServiceProcess, Client]:
    """Return a gateway that is not started, and a client, which the caller closes; the log is ``<name>.log``."""
    number = free_port()
    url = f"http://127.0.0.1:{number}"
    process = ServiceProcess(
        "tandem_gateway",
        env={
            "TANDEM_GATEWAY_PORT": str(number),
            "TANDEM_EMBEDDER_URL": embedder_url,
            "TANDEM_DATA_DIR": str(data_dir),
            **(env or {}),
        },
        ready_url=f"{url}/readyz",
        log_path=folder / f"{name}.log",
    )
    return process, Client(url)


def service_url(service: ServiceProcess) -> str:
    """Return the URL of a service made here."""
    assert service.ready_url is not None
    return service.ready_url.removesuffix("/readyz")
