"""Runs the services' images, and asks them what a user of an engine would ask."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Its image would have to be pulled; what is started here is removed here.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from tests.support.processes import get
from tests.support.stack import wait_until

TAG = "test"
SERVICES = ("gateway", "embedder")
PORTS = {"gateway": 8000, "embedder": 8080}

# As deploy/compose.yml and the manifests run them.
CONFINED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


def image(service: str) -> str:
    """Return the name of the image that the tests built."""
    return f"tandem-{service}:{TAG}"


class Running:
    """A container of a service."""

    def __init__(self, container: DockerContainer, service: str) -> None:
        self.container: Container = container.get_wrapped_container()
        self.url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(PORTS[service])}"

    def wait_ready(self) -> None:
        """Return once ``/readyz`` answers 200."""

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
        """Return all that the service wrote."""
        return str(self.container.logs().decode())

    def log_line(self, message: str) -> dict[str, Any]:
        """Return the first log line with this message."""
        for line in self.logs().splitlines():
            found: dict[str, Any] = json.loads(line)
            if found["message"] == message:
                return found
        raise AssertionError(f"no line {message!r} in {self.logs()}")

    def health(self) -> str:
        """Return what the engine's health check says."""
        self.container.reload()
        return str(self.container.attrs["State"]["Health"]["Status"])

    def stop(self) -> int:
        """Let it drain, and return the exit status."""
        self.container.stop(timeout=30)
        return int(self.container.wait()["StatusCode"])


@contextmanager
def running(
    service: str, environment: Mapping[str, str] | None = None, volume: str | None = None, **limits: Any
) -> Iterator[Running]:
    """Run a service's image, confined; gone at the end, with its anonymous volume.

    Args:
        service: ``gateway`` or ``embedder``.
        environment: its variables.
        volume: of the gateway's data; one of the container's own if None.
        limits: what else the engine is told, such as ``nano_cpus``.
    """
    container = DockerContainer(image(service)).with_exposed_ports(PORTS[service])
    container.with_envs(**dict(environment or {})).with_tmpfs_mount("/tmp", "size=16m").with_kwargs(
        **CONFINED, **limits
    )
    if volume is not None:
        container.with_volume_mapping(volume, "/var/lib/tandem", "rw")
    with container:
        yield Running(container, service)
