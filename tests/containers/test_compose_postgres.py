"""deploy/compose.postgres.yml in operation: three gateways over one database, and what fails one after the other."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from prometheus_client.parser import text_string_to_metric_families

from tandem_tools.process import free_port, inherited_environment
from tests.containers.engine import BUILD_SECONDS, TAG
from tests.deploy.manifests import DEPLOY
from tests.support.searching import SearchLoad
from tests.support.stack import Client, wait_until
from tests.support.texts import distinct_texts
from tests.support.tools import run, tool

pytestmark = pytest.mark.timeout(900)

PROJECT = "tandem-test-postgres"
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")
CLIENTS = 4
STANDINS = Path(__file__).parent / "standins"

_METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"


@dataclass
class Composed:
    """The running project."""

    engine: docker.DockerClient
    command: list[str]
    environment: dict[str, str]
    client: Client

    def compose(self, *arguments: str) -> str:
        """Run a compose command on the project."""
        return run([*self.command, *arguments], env=self.environment)

    def container(self, service: str) -> Container:
        """Return the container of a service, running or not."""
        labels = [f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}"]
        (found,) = self.engine.containers.list(all=True, filters={"label": labels})
        return found

    def metric(self, gateway: str, name: str, **labels: str) -> float:
        """Return the sum of a gateway's series with this name and labels."""
        status, output = self.container(gateway).exec_run(["python", "-c", _METRICS])
        assert status == 0, output
        return sum(
            sample.value
            for family in text_string_to_metric_families(output.decode())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def shared(self, gateway: str, outcome: str) -> float:
        """Return how many shared snapshots had this outcome at a gateway."""
        return self.metric(gateway, "tandem_gateway_shared_snapshots_total", outcome=outcome)

    def is_up(self) -> bool:
        """Return whether the balancer sends requests to every gateway."""
        log = self.container("balancer").logs().decode()
        last = dict(re.findall(r"gateways/(\S+) is (?:going )?(UP|DOWN)", log))
        return last == dict.fromkeys(GATEWAYS, "UP")

    def builds(self, gateway: str) -> bool:
        """Return whether a gateway builds the snapshots."""
        return self.metric(gateway, "tandem_gateway_snapshot_builder") == 1

    @property
    def headers(self) -> dict[str, str]:
        """The key of the administrator."""
        return {"authorization": self.client.http.headers["authorization"]}


def build(name: str) -> str:
    """Build an image in the place of a public one, and return its name."""
    image = f"tandem-standin-{name}:{TAG}"
    command = [tool("docker"), "build", "-f", f"{name}.Dockerfile", "-t", image, "."]
    run(command, timeout=BUILD_SECONDS, cwd=STANDINS)
    return image


@pytest.fixture(scope="module")
def composed(images: docker.DockerClient, compose_command: list[str]) -> Iterator[Composed]:
    with ThreadPoolExecutor(2) as threads:
        postgres, haproxy = threads.map(build, ("postgres", "haproxy"))
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    variables = {"TANDEM_TAG": TAG, "TANDEM_PORT": str(port)}
    variables |= {"TANDEM_POSTGRES_IMAGE": postgres, "TANDEM_HAPROXY_IMAGE": haproxy}
    files = [str(DEPLOY / "compose.postgres.yml"), str(STANDINS / "soon.yml")]
    command = [*compose_command, "-p", PROJECT, *(part for file in files for part in ("-f", file))]
    started = Composed(images, command, {**inherited_environment(), **variables}, client)
    try:
        started.compose("up", "--detach", "--no-build")
        key = started.compose("exec", "-T", "gateway-1", "cat", "/var/lib/tandem-key/key")
        client.http.headers["authorization"] = f"Bearer {key.strip()}"
        wait_until(started.is_up, "every gateway gets requests", 60.0)
        wait_until(lambda: client.health().model_loaded, "a gateway sees an embedder")
        yield started
    finally:
        client.close()
        started.compose("down", "--volumes", "--timeout", "30")


def test_all_gateways_answer_and_find_the_same(composed: Composed) -> None:
    texts = distinct_texts(60)
    composed.client.ingest_and_wait([{"id": f"doc-{number}", "text": text} for number, text in enumerate(texts)])
    for number, text in enumerate(texts):
        assert composed.client.found(text, 1) == [f"doc-{number}"]
    assert min(composed.metric(name, "tandem_gateway_searches_total") for name in GATEWAYS) > 0


def test_one_gateway_builds_for_all_and_a_killed_one_comes_back_without_its_data(composed: Composed) -> None:
    texts = distinct_texts(120)[60:]
    composed.client.ingest_and_wait([{"id": f"more-{number}", "text": text} for number, text in enumerate(texts)])
    builder, *others = sorted(GATEWAYS, key=composed.builds, reverse=True)
    wait_until(lambda: all(composed.shared(name, "loaded") for name in others), "the others load", 30.0)
    assert [composed.builds(name) for name in GATEWAYS].count(True) == 1
    assert composed.shared(builder, "published") > 0
    killed = others[0]
    with SearchLoad(composed.client.url, clients=CLIENTS, headers=composed.headers) as load:
        load.go_on(20)
        composed.container(killed).kill()
        wait_until(lambda: not composed.is_up(), "the balancer leaves the dead gateway out")
        answered = load.answered
        wait_until(lambda: load.answered > answered + 20, "the others answer")
        composed.compose("rm", "--force", "-v", killed)
        composed.compose("up", "--detach", "--no-build", "--no-deps", killed)
        wait_until(composed.is_up, "the gateway gets requests again", 60.0)
    # A client may find its connection closed, and repeats the search: HAProxy does not retry after a reset.
    assert len(load.failures) <= CLIENTS
    assert all("disconnected" in failure for failure in load.failures), load.failures
    assert composed.shared(killed, "loaded") > 0
    for name in others:
        assert composed.metric(name, "tandem_gateway_snapshots_total", outcome="saved") == 0
        assert [composed.shared(name, outcome) for outcome in ("refused", "failed", "built_alone")] == [0, 0, 0]


def test_gateways_stay_while_the_database_is_away(composed: Composed) -> None:
    def search() -> tuple[int, str | None]:
        reply = composed.client.http.post("/v1/search", json={"query": "words"})
        return reply.status_code, reply.headers.get("retry-after")

    before = {name: composed.container(name).attrs["State"]["StartedAt"] for name in GATEWAYS}
    composed.compose("stop", "db")
    assert {search() for _ in range(12)} == {(503, "1")}
    assert composed.is_up()
    composed.compose("start", "db")
    for _ in range(len(GATEWAYS)):
        wait_until(lambda: search()[0] == 200, "searches are answered again", 30.0)
    composed.client.ingest_and_wait([{"id": "later", "text": "A sentence of afterwards."}])
    assert {name: composed.container(name).attrs["State"]["StartedAt"] for name in GATEWAYS} == before


def test_only_the_balancer_is_reached_from_outside(composed: Composed) -> None:
    for name in ("db", "embedder", *GATEWAYS):
        container = composed.container(name)
        assert not any(container.attrs["NetworkSettings"]["Ports"].values()), name
        assert container.attrs["HostConfig"]["ReadonlyRootfs"] is True
        assert container.attrs["HostConfig"]["CapDrop"] == ["ALL"]
    (network,) = composed.container("db").attrs["NetworkSettings"]["Networks"]
    assert composed.engine.networks.get(network).attrs["Internal"] is True
