"""Starts a service as a real process, waits until it is ready, reads its log, and ends it.

service = ServiceProcess(
    "tandem_embedder",
    env={"TANDEM_EMBEDDER_PORT": str(port)},
    ready_url=f"http://127.0.0.1:{port}/readyz",
    log_path=tmp_path / "embedder.log",
)
with service:  # start, wait_ready; at the end terminate, and kill if that takes too long
    ...
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

POLL_SECONDS = 0.02
READY_SECONDS = 60.0
EXIT_SECONDS = 30.0

# A proxy of the environment must not stand between a test and a service on the loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ProcessFailed(AssertionError):
    """The service ended, or did not become ready in time; the message ends with its log."""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, timeout: float = 5.0) -> tuple[int, bytes]:
    """Return status and body of a GET; (0, reason) if nothing answered."""
    try:
        with _direct.open(url, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError as error:  # URLError is one
        return 0, str(error).encode()


class ServiceProcess:
    """One ``python -m module`` with an environment of its own; may be started again after it ended.

    Every ``TANDEM_`` variable of the caller is removed first, so that only ``env`` configures the service.
    Both output streams go to ``log_path``, appended over restarts.
    """

    def __init__(
        self,
        module: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        ready_url: str | None = None,
        log_path: Path | None = None,
        python: Path | None = None,
    ) -> None:
        """Describe the process; ``python`` is the interpreter, of another environment than the tests' if given."""
        if log_path is None:
            raise ValueError("log_path is required: a service's log must not fill a pipe nobody reads")
        self.module = module
        self.args = list(args)
        self.env = dict(env or {})
        self.ready_url = ready_url
        self.log_path = log_path
        self.python = str(python or sys.executable)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; the service must have been started."""
        return self._started().pid

    def start(self) -> Self:
        """Start the process and return at once."""
        if self.process is not None and self.process.poll() is None:
            raise RuntimeError(f"{self.module} runs already, as process {self.process.pid}")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", self.module, *self.args],
                env={**inherited, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_ready(self, timeout: float = READY_SECONDS) -> Self:
        """Return when ``ready_url`` answers 200.

        Raises:
            ProcessFailed: if the process ends before, or the time is up.
        """
        self.wait_status(200, timeout)
        return self

    def wait_status(self, status: int, timeout: float = READY_SECONDS, url: str | None = None) -> bytes:
        """Return the body of the first answer of ``url`` (default: ``ready_url``) that has this status."""
        asked = url or self.ready_url
        if asked is None:
            raise ValueError("neither url nor ready_url is set")
        process = self._started()
        until = time.monotonic() + timeout
        seen: tuple[int, bytes] = (0, b"")
        while time.monotonic() < until:
            if process.poll() is not None:
                raise ProcessFailed(f"{self.module} ended with {process.returncode}\n{self.log_text()}")
            seen = get(asked)
            if seen[0] == status:
                return seen[1]
            time.sleep(POLL_SECONDS)
        raise ProcessFailed(f"{asked} gave {seen}, not {status}, after {timeout:g} s\n{self.log_text()}")

    def wait_exit(self, timeout: float = EXIT_SECONDS) -> int:
        """Return the exit status (negative: the signal) once the process has ended by itself."""
        process = self._started()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.module} still runs after {timeout:g} s\n{self.log_text()}") from None

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        self._started().send_signal(number)

    def terminate(self, timeout: float = EXIT_SECONDS) -> int:
        """Send SIGTERM and return the exit status.

        Raises:
            ProcessFailed: if it did not end in time; it is killed then.
        """
        self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(timeout)
        except ProcessFailed:
            self.kill()
            raise

    def kill(self) -> None:
        """Send SIGKILL and wait for the end; nothing happens if the process has ended or never started."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()

    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def log_text(self) -> str:
        """All that the process wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log, parsed; a line that is no JSON object fails the test that asks."""
        lines = []
        for line in self.log_text().splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                raise AssertionError(f"{self.module} wrote a line that is no JSON: {line!r}") from None
            assert isinstance(parsed, dict), f"{self.module} wrote a line that is no object: {line!r}"
            lines.append(parsed)
        return lines

    def rss_bytes(self) -> int:
        """Resident memory of the process now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def __enter__(self) -> Self:
        self.start()
        try:
            if self.ready_url is not None:
                self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self.is_running():
            self.kill()
        else:
            self.terminate()

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError(f"{self.module} was not started")
        return self.process
