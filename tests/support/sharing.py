"""Several gateways over one store in PostgreSQL, as real processes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import postgres
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.postgres_check import find_damage
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until

Gateway = tuple[ServiceProcess, Client]
Gateways = list[Gateway]
Start = Callable[[str], Gateway]
"""Starts a gateway with a name and a data directory of that name."""


@contextmanager
def shared_store() -> Iterator[str]:
    """Return the URL of an empty store; check it at the end."""
    url = postgres.databases().take_url()
    yield url
    assert find_damage(url) == []
    postgres.databases().give_back(url)


@contextmanager
def gateways(
    folder: Path, url: str, count: int = 2, environment: Mapping[str, str] | None = None
) -> Iterator[Gateways]:
    """Run gateways over the store at ``url``, each with a data directory of its own, and one fake embedder."""
    with ExitStack() as opened:
        embedder = opened.enter_context(HttpFakeEmbedder())
        made: Gateways = []
        for number in range(count):
            name = f"gateway{number}"
            env = {"TANDEM_STORE_URL": url, "TANDEM_EMBEDDER_URL": embedder.url, **(environment or {})}
            process, client = gateway_process(folder, folder / name, embedder.url, name=name, env=env)
            opened.callback(client.close)
            made.append((opened.enter_context(process), client))
        for _, client in made:
            wait_until(lambda client=client: client.health().model_loaded, "the gateway sees the embedder")
        yield made


@contextmanager
def snapshot_sharers(folder: Path, url: str, environment: Mapping[str, str] | None = None) -> Iterator[Start]:
    """Return what starts gateways that share a store, one fake embedder, and snapshots of small indexes in a folder."""
    (folder / "shared").mkdir()
    env = {
        "TANDEM_STORE_URL": url,
        "TANDEM_SNAPSHOT_URL": (folder / "shared").as_uri(),
        "TANDEM_EXACT_BELOW": "20",
        "TANDEM_SNAPSHOT_CHANGES": "20",
        "TANDEM_SNAPSHOT_SECONDS": "1",
        "TANDEM_SNAPSHOT_PUBLISH_SECONDS": "1",
        **(environment or {}),
    }
    with ExitStack() as opened:
        embedder = opened.enter_context(HttpFakeEmbedder())

        def start(name: str) -> Gateway:
            process, client = gateway_process(folder, folder / name, embedder.url, name=name, env=env)
            opened.callback(client.close)
            opened.enter_context(process)
            wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
            return process, client

        yield start
