"""A real embedder process for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_tools.process import free_port
from tests.support.processes import ServiceProcess

StartEmbedder = Callable[..., ServiceProcess]


@pytest.fixture(scope="session")
def start_embedder(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[StartEmbedder]:
    """Return a function that starts ``python -m tandem_embedder`` with settings, without waiting until it is ready."""
    processes: list[ServiceProcess] = []

    def start(**settings: str) -> ServiceProcess:
        port = free_port()
        env = {
            "TANDEM_MODEL_DIR": str(model_dir),
            "TANDEM_THREADS": "1",
            "TANDEM_EMBEDDER_PORT": str(port),
            **{f"TANDEM_{name}": value for name, value in settings.items()},
        }
        process = ServiceProcess(
            "tandem_embedder",
            env=env,
            ready_url=f"http://127.0.0.1:{port}/readyz",
            log_path=tmp_path_factory.mktemp("embedder") / "embedder.log",
        )
        processes.append(process.start())
        return process

    yield start
    for process in processes:
        process.close()


@pytest.fixture(scope="session")
def embedder(start_embedder: StartEmbedder) -> ServiceProcess:
    """One ready embedder, shared by the tests that do not break it."""
    return start_embedder().wait_ready()


@pytest.fixture
def client(embedder: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of the shared embedder."""
    with client_of(embedder) as client:
        yield client


def client_of(process: ServiceProcess) -> httpx.Client:
    """Return a client of an embedder; the caller closes it."""
    assert process.ready_url is not None
    url = process.ready_url.removesuffix("/readyz")
    return httpx.Client(base_url=url, headers={"content-type": "application/json"}, trust_env=False, timeout=60)
