"""Both services as real processes on free ports, and a client of the gateway for tests.

with Stack(tmp_path, model_dir) as stack:
    stack.client.ingest_and_wait([{"id": "a", "text": "a cat"}])
    hits = stack.client.search("a pet")
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2 as httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import POLL_SECONDS, ServiceProcess, free_port, get

JOB_SECONDS = 120.0

T = TypeVar("T")

Document = dict[str, Any]


def wait_until(look: Callable[[], T], what: str, timeout: float = 30.0) -> T:
    """Return the first truthy value that ``look`` returns; fails the test when the time is up."""
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


class Client:
    """A client of a gateway; every call asserts the status that it expects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60.0)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def ingest(self, documents: Sequence[Document], collection: str | None = None) -> dict[str, Any]:
        """Ingest and return the job as accepted."""
        body: dict[str, Any] = {"documents": list(documents)}
        if collection is not None:
            body["collection"] = collection
        return _expect(self.http.post("/v1/ingest", json=body), 202)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return _expect(self.http.get(f"/v1/jobs/{job_id}"), 200)

    def wait_job(self, job_id: str, timeout: float = JOB_SECONDS) -> dict[str, Any]:
        """Return a job once it is finished, however it ended."""

        def finished() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in ("completed", "failed") else None

        return wait_until(finished, f"the end of job {job_id}", timeout)

    def ingest_and_wait(self, documents: Sequence[Document], collection: str | None = None) -> dict[str, Any]:
        """Ingest, wait, and return the job, which must have completed."""
        job = self.wait_job(self.ingest(documents, collection)["job_id"])
        assert job["status"] == "completed", job
        assert job["error"] is None, job
        return job

    def search(self, query: str, top_k: int | None = None, collection: str | None = None) -> list[dict[str, Any]]:
        """Search and return the hits."""
        body: dict[str, Any] = {"query": query}
        if top_k is not None:
            body["top_k"] = top_k
        if collection is not None:
            body["collection"] = collection
        hits: list[dict[str, Any]] = _expect(self.http.post("/v1/search", json=body), 200)["results"]
        return hits

    def found(self, query: str, top_k: int | None = None, collection: str | None = None) -> list[str]:
        """Search and return the hits' ids."""
        return [hit["id"] for hit in self.search(query, top_k, collection)]

    def health(self) -> dict[str, Any]:
        """Return ``/healthz``, which must be 200."""
        return _expect(self.http.get("/healthz"), 200)

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return a metric of the gateway."""
        return metric(self.url, name, labels)


class Stack:
    """An embedder and a gateway with a data directory of its own; either may be killed and started again."""

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
        """Where the embedder answers."""
        return service_url(self.embedder)

    def __enter__(self) -> Self:
        self.embedder.start()
        self.gateway.start()
        try:
            self.embedder.wait_ready()
            self.gateway.wait_ready()
            wait_until(lambda: self.client.health()["model_loaded"], "the gateway sees the embedder")
        except BaseException:
            self._kill()
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
            self._kill()

    def _kill(self) -> None:
        self.client.close()
        self.gateway.kill()
        self.embedder.kill()


def embedder_process(
    folder: Path,
    model_dir: Path,
    *,
    port: int | None = None,
    name: str = "embedder",
    env: Mapping[str, str] | None = None,
) -> ServiceProcess:
    """Return an embedder, not started; its log is ``<name>.log``."""
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
    """Return a gateway, not started, and a client of it, which the caller closes; its log is ``<name>.log``."""
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
    """Return the address of a service made here."""
    assert service.ready_url is not None
    return service.ready_url.removesuffix("/readyz")


def _expect(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, f"{response.request.url} gave {response.status_code}: {response.text[:500]}"
    answer: dict[str, Any] = response.json()
    return answer


def ask(client: Client, query: str, collection: str, **fields: Any) -> dict[str, Any]:
    """Return the reply to a search."""
    answer = client.http.post("/v1/search", json={"query": query, "collection": collection, **fields})
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply
