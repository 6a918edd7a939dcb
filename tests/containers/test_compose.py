"""deploy/compose.yml in operation: one gateway, three embedders, and a volume that outlives the containers."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from prometheus_client.parser import text_string_to_metric_families

from tandem_tools.process import free_port, inherited_environment
from tests.containers.engine import TAG
from tests.deploy.manifests import DEPLOY, REPOSITORY
from tests.support.searching import SearchLoad
from tests.support.stack import Client, wait_until
from tests.support.texts import distinct_texts
from tests.support.tools import run

pytestmark = pytest.mark.timeout(900)

PROJECT = "tandem-test"
EMBEDDERS = 3

_METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/metrics').read().decode())"


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

    def containers(self, service: str) -> list[Container]:
        """Return a service's containers."""
        labels = [f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}"]
        found: list[Container] = self.engine.containers.list(filters={"label": labels})
        return found

    def texts_by_embedder(self) -> dict[str, float]:
        """Return container → number of texts that it has embedded."""
        counts = {}
        for container in self.containers("embedder"):
            status, output = container.exec_run(["python", "-c", _METRICS])
            assert status == 0, output
            counts[container.name] = sum(
                sample.value
                for family in text_string_to_metric_families(output.decode())
                for sample in family.samples
                if sample.name == "tandem_embedder_texts_total"
            )
        return counts


@pytest.fixture(scope="module")
def composed(images: docker.DockerClient, compose_command: list[str]) -> Iterator[Composed]:
    port = free_port()
    inherited = inherited_environment()
    client = Client(f"http://127.0.0.1:{port}")
    started = Composed(
        images,
        [*compose_command, "-p", PROJECT, "-f", str(DEPLOY / "compose.yml")],
        {**inherited, "TANDEM_TAG": TAG, "TANDEM_PORT": str(port)},
        client,
    )
    try:
        started.compose("up", "--detach", "--no-build", "--scale", f"embedder={EMBEDDERS}")
        key = started.compose("exec", "-T", "gateway", "cat", "/var/lib/tandem-key/key")
        client.http.headers["authorization"] = f"Bearer {key.strip()}"
        wait_until(lambda: is_ready(started), "the gateway answers and sees an embedder")
        yield started
    finally:
        client.close()
        started.compose("down", "--volumes", "--timeout", "30")


def documented_commands(section: str) -> list[str]:
    """Return the compose commands under a bold heading of the page's chapter on backups."""
    chapter = (
        (REPOSITORY / "docs" / "operations.md").read_text().split("\n## Backup and restore\n")[1].split("\n## ")[0]
    )
    part = chapter.split(f"**{section}**")[1].split("\n**")[0]
    return re.findall(r"^    (docker compose .*)$", part, re.MULTILINE)


def is_ready(composed: Composed) -> bool:
    try:
        return bool(composed.client.health().model_loaded)
    except Exception:
        return False


def test_documents_are_embedded_and_found(composed: Composed) -> None:
    assert len(composed.containers("embedder")) == EMBEDDERS
    texts = distinct_texts(200)
    documents = [{"id": f"doc-{number}", "text": text} for number, text in enumerate(texts)]
    job = composed.client.ingest_and_wait(documents)
    assert job.processed_documents == len(documents)
    for number in (0, 99, 199):
        assert composed.client.found(texts[number], 1) == [f"doc-{number}"]
    work = composed.texts_by_embedder()
    assert len(work) == EMBEDDERS
    # The known answers of each embedder's self-test are not counted: they are no requests.
    assert min(work.values()) > 0, work
    assert sum(work.values()) >= len(documents)


def test_adding_and_removing_an_embedder_under_load_loses_no_search(composed: Composed) -> None:
    composed.client.ingest_and_wait([{"id": "there", "text": "Something that every search finds."}])

    def serving() -> float:
        return composed.client.metric("tandem_gateway_embedder_replicas", {"pool": "stable", "state": "serving"})

    with SearchLoad(
        composed.client.url, headers={"authorization": composed.client.http.headers["authorization"]}
    ) as load:
        load.go_on(20)
        for count in (EMBEDDERS - 1, EMBEDDERS):
            composed.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", f"embedder={count}")
            wait_until(lambda count=count: serving() == count, f"{count} embedders serve", 60)
            load.go_on(20)
    assert load.failures == []


def test_nobody_gets_in_without_the_key(composed: Composed) -> None:
    with Client(composed.client.url) as stranger:
        assert stranger.http.post("/v1/search", json={"query": "words"}).status_code == 401
        assert stranger.health().document_count is None


def test_embedders_are_reached_by_the_gateway_alone(composed: Composed) -> None:
    for container in composed.containers("embedder"):
        assert not any(container.attrs["NetworkSettings"]["Ports"].values())
        (network,) = container.attrs["NetworkSettings"]["Networks"]
        assert composed.engine.networks.get(network).attrs["Internal"] is True


def test_limits_are_in_force(composed: Composed) -> None:
    for service, megabytes in {"embedder": 512, "gateway": 1024}.items():
        for container in composed.containers(service):
            host = container.attrs["HostConfig"]
            assert host["Memory"] == megabytes << 20
            assert host["NanoCpus"] == 1_000_000_000
            assert host["ReadonlyRootfs"] is True


def test_the_data_outlives_the_containers(composed: Composed) -> None:
    text = "A lighthouse keeper counts the ships."
    composed.client.ingest_and_wait([{"id": "kept", "text": text}])
    (before,) = composed.containers("gateway")
    composed.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "gateway")
    (after,) = composed.containers("gateway")
    assert after.id != before.id
    wait_until(lambda: is_ready(composed), "the new gateway answers and sees an embedder")
    assert composed.client.found(text, 1) == ["kept"]


def test_the_documented_backup_and_restore_bring_the_documents_back(composed: Composed, tmp_path: Path) -> None:
    def follow(section: str) -> list[str]:
        commands = documented_commands(section)
        program = shlex.join(composed.command)
        real = [command.replace("docker compose -p tandem -f deploy/compose.yml", program) for command in commands]
        return [run(["bash", "-ec", command], env=composed.environment, cwd=tmp_path) for command in real]

    text = "A clockmaker listens to the rain."
    composed.client.ingest_and_wait([{"id": "before", "text": text}])
    count = composed.client.health().document_count
    backed_up, *_ = follow("Backup")
    assert backed_up.startswith("backed up: ")
    composed.client.ingest_and_wait([{"id": "after", "text": "This is not in the backup."}])
    _, _, verified, _ = follow("Restore")
    assert "store: sound" in verified
    wait_until(lambda: is_ready(composed), "the restored gateway answers and sees an embedder")
    assert composed.client.health().document_count == count
    assert composed.client.found(text, 1) == ["before"]

    def by_words() -> list[str]:
        body = {"query": "clockmaker", "mode": "lexical"}
        reply = composed.client.http.post("/v1/search", json=body)  # 503 while the index is being built
        return [hit["id"] for hit in reply.json()["results"]] if reply.status_code == 200 else []

    wait_until(lambda: by_words() == ["before"], "the keyword index is built from the restored store")
