"""Starts a service as a real process for a test, and fails the test if the service does not end as it should.

service = ServiceProcess(
    "tandem_embedder",
    env={"TANDEM_EMBEDDER_PORT": str(port)},
    ready_url=f"http://127.0.0.1:{port}/readyz",
    log_path=tmp_path / "embedder.log",
)
with service:  # start, wait_ready; at the end terminate, and fail if that takes too long
    ...
"""

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tandem_tools.process import Process, inherited_environment
from tandem_tools.readiness import answers


class ServiceProcess(Process):
    """One ``python -m module`` with its own settings; ``command[0]`` may be another interpreter.

    Every ``TANDEM_`` variable of the caller is removed, so that only ``env`` configures the service.
    """

    def __init__(
        self,
        module: str,
        args: Sequence[str] = (),
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        ready_url: str | None = None,
        python: Path | None = None,
    ) -> None:
        """Describe the process; ``python`` is the interpreter of an environment other than the tests'."""
        super().__init__(
            module,
            [python or sys.executable, "-m", module, *args],
            log_path,
            env={**inherited_environment(), **(env or {})},
            ready=None if ready_url is None else answers(ready_url),
        )
        self.module = module
        self.ready_url = ready_url

    def resident_bytes(self) -> int:
        """Return the resident memory now, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return 1024 * int(line.split()[1])

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log, parsed; an invalid line fails the test."""
        lines = []
        for line in self.log_text().splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                raise AssertionError(f"{self.module} wrote a line that is no JSON: {line!r}") from None
            assert isinstance(parsed, dict), f"{self.module} wrote a line that is no object: {line!r}"
            lines.append(parsed)
        return lines

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.is_running():
                self.terminate()
        finally:
            self.close()


def helpers_of(process: ServiceProcess) -> list[int]:
    """Return the process ids of the gateway's children: its snapshot helper, if one runs."""
    found: list[int] = []
    for task in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += [int(child) for child in task.read_text().split()]
    return found
