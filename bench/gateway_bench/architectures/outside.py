"""Servers that are not part of Tandem: a URL to call, or a command to start."""

import argparse
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway_bench.architectures.catalogue import Architecture, Deployment, Service, Site

_URL_READY_SECONDS = 5.0

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names are also the names of folders and logs."""


@dataclass(frozen=True)
class Outside:
    """A server with a name, and either a URL or a command."""

    name: str
    url: str | None
    command: tuple[str, ...]
    """Program and arguments, with the placeholders ``{port}`` and ``{data}``."""
    pid: int | None = None
    """Process of a server with a URL, if it runs on this machine and is to be sampled."""

    @property
    def is_sampled(self) -> bool:
        """Whether the benchmark knows the server's process, so that it can measure its memory and CPU time."""
        return self.url is None or self.pid is not None

    @property
    def observed(self) -> dict[str, int]:
        """Name → id of the process that the benchmark samples but did not start."""
        return {} if self.pid is None else {self.name: self.pid}


def read_outside(name: str, what: str) -> Outside:
    """Return the server of a ``NAME=URL`` or ``NAME=COMMAND``.

    Raises:
        ValueError: naming the part that is wrong.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: letters, digits, '.', '_' and '-' were expected")
    if what.startswith(("http://", "https://")):
        if not urlsplit(what).hostname:
            raise ValueError(f"{what!r} has no host")
        return Outside(name, what.rstrip("/"), ())
    try:
        command = shlex.split(what)
    except ValueError as error:
        raise ValueError(f"{what!r} is no command: {error}") from error
    if not command:
        raise ValueError(f"{name}= needs a URL or a command")
    return Outside(name, None, tuple(command))


def read_pid(text: str) -> tuple[str, int]:
    """Return the name and the process id of a ``NAME=PID``.

    Raises:
        ValueError: naming the part that is wrong.
    """
    name, _, number = text.partition("=")
    if not (name and number.isascii() and number.isdigit()):
        raise ValueError(f"NAME=PID was expected, not {text!r}")
    return name, int(number)


def add_pids(parser: argparse.ArgumentParser) -> None:
    """Add ``--pid``, whose values are for ``with_pids``."""

    def pid(text: str) -> tuple[str, int]:
        try:
            return read_pid(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(
        "--pid",
        type=pid,
        action="append",
        default=[],
        metavar="NAME=PID",
        help="process of a server that is given by URL and runs on this machine: its memory and CPU time, with all its "
        "children, are measured too; again for another",
    )


def with_pids(servers: Sequence[Outside], pids: Sequence[tuple[str, int]]) -> list[Outside]:
    """Return the servers with the ids of their processes.

    Args:
        servers: all servers.
        pids: name of a server with a URL, and its process id.

    Raises:
        ValueError: a name is not that of one server with a URL, or the process cannot be read.
    """
    given = dict(pids)
    if len(given) < len(pids):
        raise ValueError("--pid names a server twice")
    for name, pid in pids:
        if not any(server.name == name and server.url is not None for server in servers):
            raise ValueError(f"--pid {name}={pid}: {name!r} is no server with a URL")
        try:
            Path(f"/proc/{pid}/smaps_rollup").read_bytes()
        except OSError as error:
            raise ValueError(f"--pid {name}={pid}: the process cannot be read: {error.strerror}") from error
    return [replace(server, pid=given.get(server.name)) for server in servers]


def ended(observed: Mapping[str, int]) -> str | None:
    """Return a message about the first of these processes that has ended; None if all run."""
    for name, pid in observed.items():
        if not Path(f"/proc/{pid}").exists():
            return f"process {pid} of {name} has ended"
    return None


def command_line(command: Sequence[str], port: int, data: Path) -> list[str]:
    """Return the program and its arguments with port and data folder in place of the placeholders.

    The program runs in a folder of its own, so this makes a relative path to it absolute.
    """
    program, *arguments = (part.replace("{port}", str(port)).replace("{data}", str(data)) for part in command)
    return [os.path.abspath(program) if os.sep in program else program, *arguments]


def outside_architecture(server: Outside, ready_seconds: float) -> Architecture:
    """Return a server with the client API as an architecture of a comparison.

    Args:
        server: the server.
        ready_seconds: time in which ``/readyz`` or ``/healthz`` of a command must answer 200. A URL gets a few seconds.
    """

    def deploy(site: Site) -> Deployment:
        if server.url is not None:
            return Deployment(server.url, (), probe=True, ready_seconds=_URL_READY_SECONDS, observed=server.observed)
        port, data = site.free_port(), site.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = tuple(command_line(server.command, port, data))
        service = Service(server.name, None, command, {"PORT": str(port)}, ())
        return Deployment(f"http://127.0.0.1:{port}", (service,), probe=True, ready_seconds=ready_seconds)

    if server.url is None:
        described = f"started as {shlex.join(server.command)}"
    else:
        described = "a server that runs elsewhere" if server.pid is None else f"a running server, process {server.pid}"
    return Architecture(server.name, server.name, described, (), deploy, sampled=server.is_sampled)
