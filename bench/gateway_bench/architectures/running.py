"""Starts an architecture's processes, waits until they are ready, and ends them, whatever happens."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2 as httpx

from gateway_bench.architectures.catalogue import Deployment, Service
from gateway_bench.architectures.outside import ended
from tandem_tools.group import ProcessGroup
from tandem_tools.process import Process, ProcessFailed, inherited_environment
from tandem_tools.readiness import Ready, answers, wait_until_ready

_STOP_SECONDS = 20.0


class ArchitectureFailed(Exception):
    """A process ended or was not ready in time; the message is one line, with the last line of the process's log."""


class Running:
    """A deployment that runs; a context manager that leaves no process behind.

    Every ``TANDEM_`` variable of the caller is removed, so that the services run with their defaults and the settings
    of the architecture.
    """

    def __init__(self, deployment: Deployment, python: Callable[[str], Path], folder: Path, source: Path) -> None:
        """Describe the processes; entering the context starts them.

        Args:
            deployment: the processes.
            python: environment → interpreter.
            folder: for the logs.
            source: folder that holds this package, for the environment in which it is not installed.
        """
        self._deployment = deployment
        self._python = python
        self._folder = folder
        self._source = source
        self._group = ProcessGroup([])
        self._running = ExitStack()
        self.url = deployment.url
        self.cold_start_seconds = 0.0
        """From the start of the first process until all were ready."""

    @property
    def pids(self) -> dict[str, int]:
        """Name of the process → its id; also of processes that were not started here."""
        return {**self._deployment.observed, **{process.name: process.pid for process in self._group.processes}}

    @property
    def is_started_here(self) -> bool:
        """Whether the benchmark started the processes."""
        return bool(self._deployment.services)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Before the clock starts: the first use of an environment creates it.
        processes = [self._process(service) for service in self._deployment.services]
        self._group = ProcessGroup(processes, ready_seconds=self._deployment.ready_seconds)
        started = time.monotonic()
        try:
            with ExitStack() as undo:
                undo.enter_context(self._group)
                if not processes:
                    self._wait_for_server(started)
                self._running = undo.pop_all()
        except ProcessFailed as error:
            raise ArchitectureFailed(error.line) from error
        self.cold_start_seconds = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def check(self) -> None:
        """Notice a process that has ended.

        Raises:
            ArchitectureFailed: naming it, with the last line of its log.
        """
        try:
            self._group.check()
        except ProcessFailed as error:
            raise ArchitectureFailed(error.line) from error
        if (problem := ended(self._deployment.observed)) is not None:
            raise ArchitectureFailed(problem)

    def _process(self, service: Service) -> Process:
        if service.environment is None:
            program, left_out = [], ["TANDEM_"]
        else:
            program, left_out = [self._python(service.environment)], ["TANDEM_", "PYTHONPATH"]
        variables = inherited_environment(*left_out)
        if service.environment == "monolith":
            variables["PYTHONPATH"] = str(self._source)
        return Process(
            service.name,
            [*program, *service.arguments],
            self._folder / f"{service.name}.log",
            env={**variables, **service.variables},
            cwd=self._folder,
            ready=_probe(self.url) if self._deployment.probe else answers(*service.ready_urls),
            stop_seconds=_STOP_SECONDS,
        )

    def _wait_for_server(self, started: float) -> None:
        """Wait for a server that was not started here."""
        seconds = self._deployment.ready_seconds
        reason = wait_until_ready(_probe(self.url), started + seconds)
        if reason is not None:
            raise ArchitectureFailed(f"{self.url} is not ready after {seconds:g} s ({reason})")


def _probe(url: str) -> Ready:
    """Return a check of ``/readyz``, or of ``/healthz`` on a server that has no ``/readyz``."""

    def look(http: httpx.Client) -> str | None:
        try:
            status = http.get(f"{url}/readyz").status_code
            if status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
                status = http.get(f"{url}/healthz").status_code
        except httpx.TransportError:
            return "/readyz or /healthz: no answer"
        return None if status == httpx.codes.OK else f"/readyz or /healthz: status {status}"

    return look
