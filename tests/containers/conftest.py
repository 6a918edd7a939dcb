"""Both images, built once for all tests here."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from tests.containers.engine import SERVICES, image
from tests.deploy.manifests import REPOSITORY
from tests.support.tools import missing, run, tool

BUILD_SECONDS = 900.0


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """A client of the container engine."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        missing("a container engine")
    return client


@pytest.fixture(scope="session")
def images(engine: docker.DockerClient) -> docker.DockerClient:
    """The engine, with the images of both services built from this checkout."""
    program = tool("docker")

    def build(service: str) -> None:
        command = [program, "build", "-f", f"services/{service}/Dockerfile", "-t", image(service), "."]
        run(command, timeout=BUILD_SECONDS, cwd=REPOSITORY, env={**os.environ})

    with ThreadPoolExecutor(len(SERVICES)) as threads:
        list(threads.map(build, SERVICES))
    return engine


@pytest.fixture(scope="session")
def compose_command() -> list[str]:
    """The compose program: the plugin, or the older one."""
    program = tool("docker")
    if subprocess.run([program, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [program, "compose"]
    return [tool("docker-compose")]
