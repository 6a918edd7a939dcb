"""An embedder and a gateway on this machine as two processes, configured by an environment."""

import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tandem_tools.group import ProcessGroup
from tandem_tools.process import Process, ProcessFailed
from tandem_tools.readiness import answers

_CHECK_SECONDS = 0.2
_MAX_PORT = 65535


class LocalServices(ProcessGroup):
    """Both services; a context manager that stops them at its end.

    All settings, addresses among them, come from the environment, as for the services themselves.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path, report: Callable[[str], None]) -> None:
        """Describe both services; entering the context starts them.

        Args:
            environment: of both services.
            logs: folder of their logs, which are appended to.
            report: gets a line for each step.

        Raises:
            ProcessFailed: if a service cannot listen on its port.
        """
        variables = dict(environment)
        embedder = _Address("embedder", "8080", variables)
        gateway = _Address("gateway", "8000", variables)
        variables.setdefault("TANDEM_EMBEDDER_URL", embedder.url)
        self.gateway_url = gateway.url
        super().__init__([_process(address, variables, logs) for address in (embedder, gateway)], report=report)

    def wait(self) -> None:
        """Return at KeyboardInterrupt, which ``interrupt_once`` raises.

        Raises:
            ProcessFailed: if a service ends by itself.
        """
        try:
            while True:
                self.check()
                time.sleep(_CHECK_SECONDS)
        except KeyboardInterrupt:
            return


def report(line: str) -> None:
    """Print a line at once."""
    print(f"tandem: {line}", flush=True)


class _Address:
    """Where a service listens; missing settings are added to ``variables``."""

    def __init__(self, service: str, port: str, variables: dict[str, str]) -> None:
        self.service = service
        self._port_variable = f"TANDEM_{service.upper()}_PORT"
        self._host = variables.setdefault(f"TANDEM_{service.upper()}_HOST", "127.0.0.1")
        self._port = variables.setdefault(self._port_variable, port)
        # A service that listens on every address also answers on the loopback.
        reached = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        self.url = f"http://{f'[{reached}]' if ':' in reached else reached}:{self._port}"
        self._require_free()

    def _require_free(self) -> None:
        if not (self._port.isdecimal() and 1 <= int(self._port) <= _MAX_PORT):
            raise ProcessFailed(
                f"{self._port_variable}={self._port!r}: a whole number from 1 to {_MAX_PORT} was expected"
            )
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, int(self._port)))
            except OSError as error:
                option = "--port" if self.service == "gateway" else "--embedder-port"
                raise ProcessFailed(
                    f"the {self.service} cannot listen on {self._host}:{self._port} ({error.strerror}); "
                    f"stop the program that listens there, or set another port by {option} or {self._port_variable}"
                ) from None


def _process(address: _Address, variables: Mapping[str, str], logs: Path) -> Process:
    return Process(
        address.service,
        [sys.executable, "-m", f"tandem_{address.service}"],
        logs / f"{address.service}.log",
        env=variables,
        ready=answers(f"{address.url}/readyz"),
    )
