"""Servers that are not part of Tandem: a URL to call, or a command to start."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
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

    @property
    def is_sampled(self) -> bool:
        """Whether the benchmark starts the server, so that it can measure its memory and CPU time."""
        return self.url is None


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
            return Deployment(server.url, (), probe=True, ready_seconds=_URL_READY_SECONDS)
        port, data = site.free_port(), site.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = tuple(command_line(server.command, port, data))
        service = Service(server.name, None, command, {"PORT": str(port)}, ())
        return Deployment(f"http://127.0.0.1:{port}", (service,), probe=True, ready_seconds=ready_seconds)

    described = "a server that runs elsewhere" if server.url is not None else f"started as {shlex.join(server.command)}"
    return Architecture(server.name, server.name, described, (), deploy, sampled=server.is_sampled)
