"""Starts an architecture's processes, waits until they are ready, and ends them, whatever happens."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway_bench.api import Api
from gateway_bench.architectures.catalogue import Deployment, Service

_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_REASON_CHARS = 400


class ArchitectureFailed(Exception):
    """A process ended, or is not ready in time; the message ends with what it said last."""


class Running:
    """A deployment that runs; a context manager that leaves no process behind.

    Every ``TANDEM_`` variable of the caller is removed, so that the services run with their defaults but for what the
    architecture says.
    """

    def __init__(self, deployment: Deployment, python: Callable[[str], Path], folder: Path, source: Path) -> None:
        """Name what is to run.

        Args:
            deployment: what.
            python: environment → interpreter.
            folder: for the logs.
            source: folder that holds this package, for the environment in which it is not installed.
        """
        self._deployment = deployment
        self._python = python
        self._folder = folder
        self._source = source
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = deployment.url
        self.cold_start_seconds = 0.0
        """From the start of the first process until all were ready."""

    @property
    def pids(self) -> dict[str, int]:
        """Name of the process → its id."""
        return {name: process.pid for name, process in self._processes.items()}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Before the clock starts: an environment may have to be made.
        programs = {service.name: self._program(service) for service in self._deployment.services}
        started = time.monotonic()
        try:
            for service in self._deployment.services:
                self._start(service, programs[service.name])
            self._wait_ready(started + self._deployment.ready_seconds)
            self.cold_start_seconds = time.monotonic() - started
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Notice a process that has ended.

        Raises:
            ArchitectureFailed: naming it, with the end of its log.
        """
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise ArchitectureFailed(f"the {name} ended with status {status}: {self._last_words(name)}")

    def stop(self) -> None:
        """End every process, the last that was started first; each and its children are killed if it takes long."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # Each has a session of its own; what it left behind in it, a helper, goes as well.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def _program(self, service: Service) -> list[str]:
        return [] if service.environment is None else [str(self._python(service.environment))]

    def _start(self, service: Service, program: Sequence[str]) -> None:
        left_out = ("TANDEM_",) if service.environment is None else ("TANDEM_", "PYTHONPATH")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        if service.environment == "monolith":
            inherited["PYTHONPATH"] = str(self._source)
        with self._log(service.name).open("wb") as log:
            try:
                self._processes[service.name] = subprocess.Popen(
                    [*program, *service.arguments],
                    env={**inherited, **service.variables},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise ArchitectureFailed(f"the {service.name} cannot be started: {error}") from error

    def _wait_ready(self, until: float) -> None:
        with Api(self.url) as api:
            for service in self._deployment.services:
                for url in service.ready_urls:
                    while (status := api.status_of(url)) != 200:
                        self.check()
                        if time.monotonic() > until:
                            raise ArchitectureFailed(
                                f"the {service.name} is not ready after {self._deployment.ready_seconds:g} s "
                                f"(status {status}): {self._last_words(service.name)}"
                            )
                        time.sleep(_POLL_SECONDS)
            while self._deployment.probe and (status := self._probed(api)) != 200:
                self.check()
                if time.monotonic() > until:
                    said = "".join(f": {self._last_words(name)}" for name in self._processes)
                    raise ArchitectureFailed(
                        f"{self.url} is not ready after {self._deployment.ready_seconds:g} s "
                        f"(/readyz or /healthz: {f'status {status}' if status else 'no answer'}){said}"
                    )
                time.sleep(_POLL_SECONDS)

    def _probed(self, api: Api) -> int:
        """Return the status of ``/readyz``, or of ``/healthz`` on a server that has no ``/readyz``."""
        status = api.status_of(f"{self.url}/readyz")
        return status if status not in (404, 405) else api.status_of(f"{self.url}/healthz")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _last_words(self, name: str) -> str:
        # The last line alone: that of a traceback is the reason, and the others hold paths of this machine.
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:_REASON_CHARS] if lines else "it wrote nothing"
