"""Runs the services' images and inspects them."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Ryuk, testcontainers' cleanup container, would need another image; this module removes its containers itself.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from tandem_tools.readiness import get
from tests.deploy.manifests import REPOSITORY
from tests.support.stack import wait_until
from tests.support.tools import run, tool

TAG = "test"
BUILD_SECONDS = 900.0
SERVICES = ("gateway", "embedder")
PORTS = {"gateway": 8000, "embedder": 8080}

# The same limits as in deploy/compose.yml and the manifests.
CONFINED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


def image(service: str, tag: str = TAG) -> str:
    """Return the name of an image that the tests built."""
    return f"tandem-{service}:{tag}"


def build(service: str, *options: str, tag: str = TAG, context: Path = REPOSITORY) -> None:
    """Build a service's image with its Dockerfile."""
    command = [tool("docker"), "build", "-f", f"services/{service}/Dockerfile", "-t", image(service, tag), *options]
    run([*command, "."], timeout=BUILD_SECONDS, cwd=context)


class Running:
    """A container of a service."""

    def __init__(self, container: DockerContainer, service: str) -> None:
        self.container: Container = container.get_wrapped_container()
        self.url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(PORTS[service])}"

    def wait_ready(self) -> None:
        """Return when ``/readyz`` answers 200."""

        def ready() -> bool:
            self.container.reload()
            assert self.container.status in {"created", "running"}, self.logs()
            return get(f"{self.url}/readyz")[0] == 200

        wait_until(ready, "the service in the container is ready", 60.0)

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command in the container; return its status and output."""
        status, output = self.container.exec_run(list(command))
        return status, output.decode()

    def logs(self) -> str:
        """Return everything that the service logged."""
        return str(self.container.logs().decode())

    def log_line(self, message: str) -> dict[str, Any]:
        """Return the first log line with this message."""
        for line in self.logs().splitlines():
            found: dict[str, Any] = json.loads(line)
            if found["message"] == message:
                return found
        raise AssertionError(f"no line {message!r} in {self.logs()}")

    def health(self) -> str:
        """Return the result of the engine's health check."""
        self.container.reload()
        return str(self.container.attrs["State"]["Health"]["Status"])

    def stop(self) -> int:
        """Stop the container with a drain, and return the exit status."""
        self.container.stop(timeout=30)
        return int(self.container.wait()["StatusCode"])


@contextmanager
def running(
    service: str,
    environment: Mapping[str, str] | None = None,
    *,
    volume: str | None = None,
    model: Path | None = None,
    tag: str = TAG,
    **limits: Any,
) -> Iterator[Running]:
    """Run a service's image, confined; gone at the end, with its anonymous volume.

    Args:
        service: ``gateway`` or ``embedder``.
        environment: its variables.
        volume: of the gateway's data; one of the container's own if None.
        model: a prepared model to mount, for an embedder's image without one.
        tag: the image's tag.
        limits: what else the engine is told, such as ``nano_cpus``.
    """
    container = DockerContainer(image(service, tag)).with_exposed_ports(PORTS[service])
    # Without a key, the gateway's image starts only if it is told that this is meant.
    variables = {**({"TANDEM_INSECURE": "true"} if service == "gateway" else {}), **(environment or {})}
    container.with_envs(**variables).with_tmpfs_mount("/tmp", "size=16m").with_kwargs(**CONFINED, **limits)
    if volume is not None:
        container.with_volume_mapping(volume, "/var/lib/tandem", "rw")
    if model is not None:
        container.with_volume_mapping(str(model), "/opt/model", "ro")
    with container:
        yield Running(container, service)
