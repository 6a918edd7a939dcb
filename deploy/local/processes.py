"""Runs an embedder and a gateway on this machine as two processes, until they are told to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2 as httpx

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02


class CannotRun(Exception):
    """A service did not come up, or went down; the message says which, and the end of its log."""


class Services:
    """Both services; a context manager that stops them at its end.

    Their logs go to ``log_dir``; addresses and everything else come from the environment, as for the services
    themselves.
    """

    def __init__(self, log_dir: Path, environment: Mapping[str, str], report: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._say = report
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = dict(environment)
        embedder_port = self._environment.setdefault("TANDEM_EMBEDDER_PORT", "8080")
        gateway_port = self._environment.setdefault("TANDEM_GATEWAY_PORT", "8000")
        embedder_host = self._environment.setdefault("TANDEM_EMBEDDER_HOST", "127.0.0.1")
        gateway_host = self._environment.setdefault("TANDEM_GATEWAY_HOST", "127.0.0.1")
        self.embedder_url = _url(embedder_host, embedder_port)
        self.gateway_url = _url(gateway_host, gateway_port)
        self._environment.setdefault("TANDEM_EMBEDDER_URL", self.embedder_url)
        self._addresses = {
            "embedder": (embedder_host, int(embedder_port)),
            "gateway": (gateway_host, int(gateway_port)),
        }

    def __enter__(self) -> Self:
        for name, (host, port) in self._addresses.items():
            _require_free(name, host, port)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._addresses:
                self._start(name)
            self._wait_ready("embedder", self.embedder_url)
            self._wait_ready("gateway", self.gateway_url)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Notice a service that has ended.

        Raises:
            CannotRun: names it.
        """
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise CannotRun(f"the {name} ended with status {status}:\n{self._log_end(name)}")

    def wait(self) -> None:
        """Return at SIGINT or SIGTERM.

        Raises:
            CannotRun: if a service ends by itself.
        """
        stopped = False

        def stop(*_: object) -> None:
            nonlocal stopped
            stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not stopped:
                self.check()
                time.sleep(0.2)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Let both services drain; the gateway first, since it calls the other."""
        for name in reversed(self._processes):
            process = self._processes[name]
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._say(f"the {name} did not stop within {_STOP_SECONDS:g} s and is killed")
                process.kill()
                process.wait()
        self._processes.clear()

    def log_path(self, name: str) -> Path:
        """Return where a service's log is."""
        return self._log_dir / f"{name}.log"

    def _start(self, name: str) -> None:
        with self.log_path(name).open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which stops them in order.
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"tandem_{name}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_ready(self, name: str, url: str) -> None:
        until = time.monotonic() + _READY_SECONDS
        reason = "it does not answer"
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            while time.monotonic() < until:
                self.check()
                try:
                    response = client.get(f"{url}/readyz")
                    if response.status_code == httpx.codes.OK:
                        self._say(f"{name} ready at {url}")
                        return
                    reason = response.text
                except httpx.TransportError as error:
                    reason = str(error)
                time.sleep(_POLL_SECONDS)
        raise CannotRun(f"the {name} is not ready after {_READY_SECONDS:g} s: {reason}\n{self._log_end(name)}")

    def _log_end(self, name: str) -> str:
        lines = self.log_path(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-5:])


def environment() -> dict[str, str]:
    """Return this process's environment."""
    return dict(os.environ)


def _url(host: str, port: str) -> str:
    # What listens on every address is reached on this one.
    reached = "127.0.0.1" if host in {"0.0.0.0", "", "::"} else host
    return f"http://{reached}:{port}"


def _require_free(name: str, host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotRun(
                f"the {name} cannot listen on {host}:{port} ({error.strerror}); "
                f"stop what listens there, or set TANDEM_{name.upper()}_PORT to another port"
            ) from None
