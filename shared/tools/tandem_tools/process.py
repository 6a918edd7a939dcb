"""Runs a program as a process: starts it, waits until it is ready, and ends it with everything that it started.

    process = Process("gateway", [sys.executable, "-m", "tandem_gateway"], Path("gateway.log"),
                      env=inherited_environment() | {"TANDEM_GATEWAY_PORT": str(port)},
                      ready=answers(f"http://127.0.0.1:{port}/readyz"))
    with process:  # starts it and waits; at the end SIGTERM, and SIGKILL after a deadline
        ...

Each process leads a session of its own. So Ctrl-C reaches the runner alone, which ends its processes in order, and
the runner finds the children that a process leaves behind. Only SIGKILL of the runner itself leaves processes running.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tandem_tools.readiness import Ready, wait_until_ready

READY_SECONDS = 60.0
STOP_SECONDS = 30.0

_TAIL_LINES = 20
_LINE_CHARS = 400


class ProcessFailed(Exception):
    """A process did not start, ended by itself, or missed a deadline; the message shows the end of its log."""

    def __init__(self, problem: str, log: str = "") -> None:
        lines = log.strip().splitlines()[-_TAIL_LINES:]
        super().__init__("\n".join([problem, *lines]))
        self.line = f"{problem}: {lines[-1][:_LINE_CHARS]}" if lines else problem
        """The problem and the last line of the log: of a traceback, the line with the reason."""


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listened on a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def inherited_environment(*left_out: str) -> dict[str, str]:
    """Return this process's environment without the variables that begin with one of ``left_out``.

    The default leaves out ``TANDEM_``, so that a service runs with its defaults and the caller's settings alone.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out or ("TANDEM_",))}


class Process:
    """One program with an environment and a log; it may be started again after its end. A context manager."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Ready | None = None,
        ready_seconds: float = READY_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Describe the process.

        Args:
            name: for messages: "the gateway ended".
            command: program and arguments.
            log_path: file that both output streams are appended to. A pipe would block the program once it is full.
            env: the whole environment; None takes ``inherited_environment()``.
            cwd: folder to run in; None is the caller's.
            ready: tells whether the program is ready; None means at once.
            ready_seconds: time from entering the context until it must be ready.
            stop_seconds: time from SIGTERM until SIGKILL.
        """
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = log_path
        self.env = dict(inherited_environment() if env is None else env)
        self.ready = ready
        self.ready_seconds = ready_seconds
        self.stop_seconds = stop_seconds
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._sessions: list[int] = []

    @property
    def pid(self) -> int:
        """The process id; the process must have been started."""
        return self._started().pid

    @property
    def status(self) -> int | None:
        """The exit status (negative: the signal), or None while the process runs."""
        process = self._started()
        if process.poll() is not None:
            self._forget_empty_sessions()
        return process.returncode

    def start(self) -> Self:
        """Start the process and return at once.

        Raises:
            ProcessFailed: if the program cannot be run.
        """
        if self.is_running():
            raise RuntimeError(f"the {self.name} runs already, as process {self.pid}")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_start = os.fstat(log.fileno()).st_size
            try:
                self._process = subprocess.Popen(
                    self.command,
                    env=self.env,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessFailed(f"the {self.name} cannot be started: {error}") from error
        self._sessions.append(self._process.pid)
        return self

    def wait_ready(self, timeout: float | None = None, *, since: float | None = None) -> Self:
        """Return when the process is ready.

        Args:
            timeout: in seconds; None takes ``ready_seconds``.
            since: when the timeout began, on the clock of ``time.monotonic``; None means now.

        Raises:
            ProcessFailed: if the process ends before, or is not ready in time.
        """
        return self if self.ready is None else self.wait_for(self.ready, timeout, since=since)

    def wait_for(self, ready: Ready, timeout: float | None = None, *, since: float | None = None) -> Self:
        """Return when ``ready`` says so; arguments and errors are those of ``wait_ready``."""
        seconds = self.ready_seconds if timeout is None else timeout
        reason = wait_until_ready(ready, (time.monotonic() if since is None else since) + seconds, self.check)
        if reason is not None:
            raise ProcessFailed(f"the {self.name} is not ready after {seconds:g} s ({reason})", self._log_tail())
        return self

    def check(self) -> None:
        """Notice that the process has ended.

        Raises:
            ProcessFailed: with the exit status.
        """
        if self.status is not None:
            raise ProcessFailed(f"the {self.name} ended with status {self.status}", self._log_tail())

    def wait_exit(self, timeout: float | None = None) -> int:
        """Return the exit status (negative: the signal) once the process has ended by itself.

        Raises:
            ProcessFailed: if it still runs after ``timeout`` (default: ``stop_seconds``).
        """
        seconds = self.stop_seconds if timeout is None else timeout
        try:
            status = self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"the {self.name} still runs after {seconds:g} s", self._log_tail()) from None
        self._forget_empty_sessions()
        return status

    def signal(self, number: int) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        self._started().send_signal(number)

    def terminate(self, timeout: float | None = None) -> int:
        """Send SIGTERM and return the exit status.

        Raises:
            ProcessFailed: if it did not end within ``timeout`` (default: ``stop_seconds``); it is killed then.
        """
        self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(timeout)
        except ProcessFailed:
            self.close()
            raise

    def kill(self) -> None:
        """Send SIGKILL to the process alone and wait for its end, as if the kernel had run out of memory.

        Its children live on until ``close``. Nothing happens if the process has ended or never started.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget_empty_sessions()

    def stop(self) -> bool:
        """Send SIGTERM, and SIGKILL after ``stop_seconds``; then kill what the process left behind.

        Returns:
            Whether the process ended without SIGKILL.
        """
        try:
            if self.is_running():
                self.terminate()
        except ProcessFailed:
            return False
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Send SIGKILL to the process and to everything that it left running in its session."""
        self.kill()
        for leader in self._sessions:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
        self._sessions.clear()

    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self.status is None

    def log_text(self) -> str:
        """Return everything in the log, of earlier starts too."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.wait_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"the {self.name} was not started")
        return self._process

    def _log_tail(self) -> str:
        """Return what the process wrote since its last start; nothing if the log is no regular file."""
        if not self.log_path.is_file():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _forget_empty_sessions(self) -> None:
        """Forget the sessions that no process is in: the kernel may give such a number to an unrelated process."""
        for leader in [*self._sessions]:
            try:
                os.killpg(leader, 0)
            except (ProcessLookupError, PermissionError):  # nobody, or a process of another user
                self._sessions.remove(leader)
