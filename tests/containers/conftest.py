"""Both images, built once for all tests of this folder."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from tests.containers.engine import SERVICES, build
from tests.support.tools import missing, tool


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the container engine."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        missing("a container engine")
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(engine: docker.DockerClient) -> docker.DockerClient:
    """The engine, with the images of both services built from this checkout."""
    with ThreadPoolExecutor(len(SERVICES)) as threads:
        list(threads.map(build, SERVICES))
    return engine


@pytest.fixture(scope="session")
def compose_command() -> list[str]:
    """The compose program: the plugin, or the older standalone program."""
    program = tool("docker")
    if subprocess.run([program, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [program, "compose"]
    return [tool("docker-compose")]
