"""One process of a benchmark: started, awaited, and ended whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import httpx2 as httpx

_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_REASON_CHARS: Final = 400


class ProcessFailed(Exception):
    """A process ended, or was not ready in time; the message ends with what it said last."""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A context manager: ready when it is entered, gone when it is left.

    Every ``TANDEM_`` variable of the caller is removed, so that a service runs with its defaults but for what is given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        ready_url: str,
        ready_seconds: float,
    ) -> None:
        """Name what is to run.

        Args:
            name: for messages, and of the log in ``folder``.
            command: the program and its arguments.
            folder: of the log, and to run in.
            variables: of the environment, besides the caller's.
            ready_url: answers 200 once it is ready.
            ready_seconds: that it may take.
        """
        self._name = name
        self._command = command
        self._folder = folder
        self._variables = variables
        self._ready_url = ready_url
        self._ready_seconds = ready_seconds
        self._log = folder / f"{name}.log"

    def __enter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
        with self._log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    self._command,
                    env={**inherited, **self._variables},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessFailed(f"the {self._name} cannot be started: {error}") from error
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it by SIGTERM, and kill what is left of it after half a minute."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and its children at once, by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def check(self) -> None:
        """Notice that it has ended.

        Raises:
            ProcessFailed: with the end of its log.
        """
        if self.process.poll() is not None:
            raise ProcessFailed(f"the {self._name} ended with status {self.process.returncode}: {self._said()}")

    def _is_ready(self, client: httpx.Client) -> bool:
        return client.get(self._ready_url).status_code == 200

    def _wait_ready(self) -> None:
        until = time.monotonic() + self._ready_seconds
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if self._is_ready(client):
                        return
                self.check()
                if time.monotonic() > until:
                    raise ProcessFailed(
                        f"the {self._name} is not ready after {self._ready_seconds:g} s: {self._said()}"
                    )
                time.sleep(_POLL_SECONDS)

    def _said(self) -> str:
        # The last line alone: that of a traceback is the reason.
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:_REASON_CHARS] if lines else "it said nothing"
