"""The images: their content, their user, and that a service works in its container."""

import json
import os
from collections.abc import Iterator

import docker
import httpx2 as httpx
import pytest

import tandem_gateway
from tests.containers.engine import SERVICES, Running, image, running
from tests.support.stack import wait_until

pytestmark = pytest.mark.timeout(900)  # the first test builds the images

BASE = "python:3.11-slim-bookworm"
MEGABYTE = 1_000_000

# Sizes above the base image, as docs/deployment.md states them.
MAX_BYTES = {"gateway": 199 * MEGABYTE, "embedder": 326 * MEGABYTE}

FOREIGN = {
    "gateway": {"onnxruntime", "tokenizers", "huggingface-hub", "starlette", "faker", "httpx", "rich", "pygments"},
    "embedder": {"usearch"},
}
NEVER = {"pip", "setuptools", "hatchling", "pytest", "onnx", "safetensors", "torch"}

_LIST = """
import importlib.util, json
from importlib.metadata import distributions
print(json.dumps([
    sorted(d.metadata["Name"].lower().replace("_", "-") for d in distributions()),
    [name for name in ("tandem_contract", "tandem_embedder", "tandem_gateway", "tandem_runtime", "tandem_tools")
     if importlib.util.find_spec(name)],
]))
"""


@pytest.fixture(scope="module")
def gateway(images: docker.DockerClient) -> Iterator[Running]:
    with running("gateway") as started:
        started.wait_ready()
        yield started


@pytest.fixture(scope="module")
def embedder(images: docker.DockerClient) -> Iterator[Running]:
    with running("embedder") as started:
        started.wait_ready()
        yield started


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Running:
    started: Running = request.getfixturevalue(request.param)
    return started


both = pytest.mark.parametrize("service", SERVICES, indirect=True)


def test_the_gateway_has_no_part_of_the_embedder(gateway: Running) -> None:
    distributions, modules = installed(gateway)
    assert {"tandem-services", "tandem-contract", "usearch", "litestar"} <= distributions
    assert distributions.isdisjoint(FOREIGN["gateway"] | NEVER)
    assert modules == ["tandem_contract", "tandem_gateway", "tandem_runtime"]


def test_the_embedder_has_no_part_of_the_gateway(embedder: Running) -> None:
    distributions, modules = installed(embedder)
    assert {"tandem-services", "tandem-contract", "onnxruntime", "tokenizers"} <= distributions
    assert distributions.isdisjoint(FOREIGN["embedder"] | NEVER)
    assert modules == ["tandem_contract", "tandem_embedder", "tandem_runtime"]


def test_the_gateway_can_verify_json_web_tokens(gateway: Running) -> None:
    modules = "tandem_gateway.adapters.jwt.sources, tandem_gateway.adapters.jwt.verifier"
    code = f"import ssl, {modules}; print(len(ssl.create_default_context().get_ca_certs()) > 50)"
    status, output = gateway.run("python", "-c", code)
    assert (status, output.strip()) == (0, "True")


def test_the_gateway_has_the_client_of_postgresql_and_loads_it_only_with_a_url(gateway: Running) -> None:
    load = "import sys, tandem_gateway.app; print('psycopg' in sys.modules)"
    assert gateway.run("python", "-c", load) == (0, "False\n")
    status, output = gateway.run(
        "python", "-c", "import tandem_gateway.composition.postgres, psycopg; psycopg.pq.version()"
    )
    assert (status, output) == (0, "")
    status, output = gateway.run(
        "sh", "-c", "TANDEM_STORE_URL=postgresql://nowhere.invalid/a python -m tandem_gateway keys list"
    )
    assert status == 1
    assert "nowhere.invalid" in output


def test_the_gateway_has_the_client_of_s3_and_loads_it_only_with_a_bucket(gateway: Running) -> None:
    load = "import sys, tandem_gateway.composition.postgres; print('obstore' in sys.modules)"
    assert gateway.run("python", "-c", load) == (0, "False\n")
    use = "from tandem_gateway.adapters.object_storage import ObjectStorage; ObjectStorage('s3://bucket/prefix').stop()"
    assert gateway.run("python", "-c", use) == (0, "")


def test_the_gateway_lacks_the_client_of_milvus_and_says_so(gateway: Running) -> None:
    variables = "TANDEM_STORE_URL=postgresql://nowhere.invalid/a TANDEM_MILVUS_URL=http://milvus:19530"
    status, output = gateway.run("sh", "-c", f"{variables} python -m tandem_gateway keys list")
    assert status == 2
    assert "TANDEM_MILVUS_URL: the package pymilvus is not installed" in output


@both
def test_nothing_was_added_to_the_bases_system(images: docker.DockerClient, service: Running) -> None:
    script = "dpkg-query -W -f '${Package}\\n'; for p in gcc cc c++ ld make git curl; do command -v $p; done; true"
    of_the_base = images.containers.run(BASE, ["sh", "-c", script], remove=True).decode()
    assert service.run("sh", "-c", script) == (0, of_the_base)


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_declares_its_user_entrypoint_and_labels(images: docker.DockerClient, name: str) -> None:
    attributes = images.images.get(image(name)).attrs
    config = attributes["Config"]
    labels = config["Labels"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["python", "-m", f"tandem_{name}"]
    assert labels["org.opencontainers.image.title"] == f"tandem-{name}"
    assert labels["org.opencontainers.image.version"] == tandem_gateway.__version__
    assert labels["org.opencontainers.image.base.name"] == BASE


@pytest.mark.parametrize("name", SERVICES)
def test_the_image_is_as_large_as_the_documentation_says(images: docker.DockerClient, name: str) -> None:
    above = images.images.get(image(name)).attrs["Size"] - images.images.get(BASE).attrs["Size"]
    assert 0 < above <= MAX_BYTES[name]


@both
def test_it_runs_as_nobody_in_particular(service: Running) -> None:
    assert service.run("id", "-u")[1].strip() == "10001"
    status = service.run("cat", "/proc/1/status")[1]
    assert "\nCapEff:\t0000000000000000\n" in status
    assert "\nNoNewPrivs:\t1\n" in status


@both
def test_its_root_cannot_be_written(service: Running) -> None:
    code = "open('/opt/tandem/new', 'w')"
    status, output = service.run("python", "-c", code)
    assert status == 1
    assert "Read-only file system" in output


@both
def test_its_health_check_passes(service: Running) -> None:
    wait_until(lambda: service.health() == "healthy", "the engine finds the container healthy")


def test_its_health_check_fails_without_a_model(images: docker.DockerClient) -> None:
    """/livez still answers: the log and /readyz show the fault, and a restart would not help."""
    with running("embedder", environment={"TANDEM_MODEL_DIR": "/nowhere"}) as started:
        test = started.container.attrs["Config"]["Healthcheck"]["Test"]
        assert test[0] == "CMD"
        wait_until(lambda: "/nowhere" in started.logs(), "the log names the missing model")
        assert started.run(*test[1:])[0] == 1


@pytest.mark.parametrize("cpus", [0.5, 1.0, float(os.cpu_count() or 1)])
def test_an_embedder_has_a_worker_for_each_whole_core_of_its_quota(images: docker.DockerClient, cpus: float) -> None:
    with running("embedder", nano_cpus=int(cpus * 1e9), mem_limit="512m") as started:
        started.wait_ready()
        line = started.log_line("starting")
        assert line["threads"] == 1
        assert line["workers"] == max(1, int(cpus))
        reply = httpx.post(f"{started.url}/embed", json={"texts": ["hello world"] * 8}, trust_env=False)
        assert reply.status_code == 200
        assert len(reply.json()["embeddings"]) == 8
        assert started.stop() == 0, started.logs()


def test_a_gateway_drains_at_the_stop_signal_and_its_data_is_sound(images: docker.DockerClient) -> None:
    volume = images.volumes.create()
    try:
        with running("gateway", volume=volume.name) as started:
            started.wait_ready()
            body = {"documents": [{"id": "a", "text": "kept"}]}
            reply = httpx.post(f"{started.url}/v1/ingest", json=body, trust_env=False)
            assert reply.status_code == 202
            assert started.stop() == 0, started.logs()
        output = images.containers.run(
            image("gateway"), ["verify"], volumes=[f"{volume.name}:/var/lib/tandem"], read_only=True, remove=True
        ).decode()
        assert output.startswith("store: sound\n")
        assert "1 waiting to be embedded" in output
    finally:
        volume.remove()


def installed(service: Running) -> tuple[set[str], list[str]]:
    """Return the distributions and Tandem's own packages that the service's interpreter finds."""
    status, output = service.run("python", "-c", _LIST)
    assert status == 0, output
    distributions, modules = json.loads(output)
    return set(distributions), modules
