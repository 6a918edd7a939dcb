"""A gateway on a stub embedder, for measurements without a model: its process, its documents, and searches in turn."""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from gateway_bench.architectures.stub_embedder import QUERIES
from tandem_tools.client import ApiError, Client
from tandem_tools.corpus import Document
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import answers

COMMAND: Final = f"{sys.executable} -m tandem_gateway"
"""The gateway that is measured if no other is named."""
_READY_SECONDS: Final = 3_600.0


@dataclass
class StubbedGateway:
    """A gateway to measure."""

    name: str
    command: list[str]
    folder: Path
    """Its data directory; the logs are beside it."""
    variables: dict[str, str] = field(default_factory=dict)
    """Settings besides those that every gateway gets."""


def check_queries(command: argparse.ArgumentParser, count: int) -> None:
    """Exit with an error of the command if the stub does not know so many queries."""
    if count > QUERIES:
        command.error(f"--queries: at most {QUERIES}, not {count}")


def exit_status(name: str, measure: Callable[[Path], None]) -> int:
    """Run a measurement with a temporary folder; return the exit status of its command, and print why it failed."""
    try:
        with tempfile.TemporaryDirectory() as temporary:
            measure(Path(temporary))
    except (ApiError, ProcessFailed, subprocess.CalledProcessError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def stub_serving(folder: Path, count: int) -> Iterator[str]:
    """Run an embedder that knows ``count`` documents, with its log in a folder, and yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "gateway_bench.architectures.stub_embedder", str(port), str(count)]
    url = f"http://127.0.0.1:{port}"
    with _process("stub", command, folder, {}, url):
        yield url


@contextmanager
def serving(gateway: StubbedGateway, embedder_url: str) -> Iterator[tuple[int, int]]:
    """Run a gateway over its data, and yield its port and process id."""
    gateway.folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    variables = {
        "TANDEM_GATEWAY_PORT": str(port),
        "TANDEM_DATA_DIR": str(gateway.folder),
        "TANDEM_EMBEDDER_URL": embedder_url,
        "TANDEM_ACCESS_LOG": "false",
        "TANDEM_QUERY_CACHE_SIZE": str(2 * QUERIES),
        **gateway.variables,
    }
    with _process(
        gateway.name, gateway.command, gateway.folder.parent, variables, f"http://127.0.0.1:{port}"
    ) as process:
        yield port, process.pid


def ingest(api: Client, documents: Sequence[Document], title: str) -> float:
    """Store documents with a progress bar; return the seconds."""
    with tqdm(total=len(documents), desc=title, file=sys.stderr) as bar:
        return api.ingest_all(documents, progress=lambda done: bar.update(done - bar.n) and None)


def rebuild(gateway: StubbedGateway) -> float:
    """Build the indexes of a gateway that does not run; return the seconds."""
    started = time.monotonic()
    subprocess.run(
        [*gateway.command, "rebuild", "--data-dir", str(gateway.folder)], check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - started


def search_all(port: int, bodies: Iterable[Mapping[str, Any]]) -> tuple[list[float], list[bytes]]:
    """Send searches, one after the other on one connection.

    Returns:
        The milliseconds and the reply of each.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    replies: list[bytes] = []
    for body in bodies:
        encoded = json.dumps(body).encode()
        started = time.perf_counter()
        connection.request("POST", "/v1/search", encoded, {"content-type": "application/json"})
        response = connection.getresponse()
        reply = response.read()
        times.append(1_000 * (time.perf_counter() - started))
        if response.status != 200:
            raise ApiError(f"a search answered {response.status}: {reply[:300]!r}")
        replies.append(reply)
    connection.close()
    return times, replies


def _process(name: str, command: Sequence[str], folder: Path, variables: dict[str, str], url: str) -> Process:
    return Process(
        name,
        command,
        folder / f"{name}.log",
        env=inherited_environment() | variables,
        cwd=folder,
        ready=answers(f"{url}/readyz"),
        ready_seconds=_READY_SECONDS,
    )
