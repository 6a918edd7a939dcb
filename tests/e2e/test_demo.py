"""``tandem dev --demo`` as a new user runs it: real services, the real corpus, searches with the expected answers."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from tandem_tools.process import Process, free_port, inherited_environment

DEMO_SECONDS = 180.0

# Search → expected results; one of them must be among the first three.
EXPECTED = [
    ("make an independent copy of a nested object", {"copy", "copy.copy", "copy.deepcopy"}),
    ("compress data with the LZMA algorithm", {"lzma.compress"}),
    ("square root of a number", {"math.sqrt"}),
    ("compute the median of some numbers", {"statistics.median"}),
    ("greatest common divisor", {"math.gcd"}),
    ("heap priority queue: push an item", {"heapq.heappush"}),
    ("cache the results of a function", {"functools.lru_cache", "functools.cache"}),
    ("a temporary file that is deleted automatically", {"tempfile.NamedTemporaryFile", "tempfile.TemporaryFile"}),
    ("measure how long a small piece of code takes", {"timeit", "timeit.timeit", "timeit.Timer"}),
    ("insert an item in a sorted list", {"bisect.insort_right", "bisect.insort_left"}),
    ("list the files in a directory matching a pattern", {"glob.glob", "glob.iglob"}),
    ("open a web page in the user's browser", {"webbrowser.open", "webbrowser.open_new"}),
]


@dataclass(frozen=True)
class Demo:
    """A running demo and the URL of its gateway."""

    process: Process
    url: str


@contextmanager
def run_demo(model_dir: Path, folder: Path, until: str) -> Iterator[Demo]:
    """Run the demo, and continue once it has printed ``until``."""
    gateway_port = free_port()
    process = Process(
        "demo",
        [sys.executable, "-m", "tandem_cli", "dev", "--demo"],
        folder / "demo.log",
        env={
            **inherited_environment(),
            "TANDEM_MODEL_DIR": str(model_dir),
            "TANDEM_DATA_DIR": str(folder / "data"),
            "TANDEM_GATEWAY_PORT": str(gateway_port),
            "TANDEM_EMBEDDER_PORT": str(free_port()),
        },
        cwd=folder,
        ready=lambda http: None if until in process.log_text() else f"it has not printed {until!r}",
        ready_seconds=DEMO_SECONDS,
    )
    with process:
        yield Demo(process, f"http://127.0.0.1:{gateway_port}")


@pytest.fixture(scope="module")
def demo(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with run_demo(model_dir, tmp_path_factory.mktemp("demo"), until="stop with Ctrl-C") as running:
        yield running


def test_the_corpus_has_a_thousand_documents_and_all_are_searchable(demo: Demo) -> None:
    health = httpx.get(f"{demo.url}/healthz", trust_env=False).json()
    assert health["status"] == "ok"
    assert health["document_count"] >= 1000
    assert health["pending_documents"] == 0


@pytest.mark.parametrize(("query", "expected"), EXPECTED, ids=[query for query, _ in EXPECTED])
def test_search_finds_the_expected_result_in_the_top_three(demo: Demo, query: str, expected: set[str]) -> None:
    body = {"query": query, "top_k": 3, "collection": "python-stdlib"}
    response = httpx.post(f"{demo.url}/v1/search", json=body, trust_env=False)
    assert response.status_code == 200, response.text
    found = [hit["id"] for hit in response.json()["results"]]
    assert expected & set(found), f"{query!r} found {found}"


def test_it_prints_searches_and_ends_cleanly_at_ctrl_c(demo: Demo) -> None:
    shown = demo.process.log_text()
    assert "documents embedded" in shown
    assert "cache the results of a function" in shown
    services = psutil.Process(demo.process.pid).children()
    assert len(services) == 2
    demo.process.signal(signal.SIGINT)
    assert demo.process.wait_exit(60) == 0
    assert not any(service.is_running() for service in services)
    assert "stopping" in demo.process.log_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_ingest_leaves_no_service_behind(
    number: signal.Signals, model_dir: Path, tmp_path: Path
) -> None:
    with run_demo(model_dir, tmp_path, until="embedding them") as demo:
        services = psutil.Process(demo.process.pid).children()
        assert len(services) == 2
        demo.process.signal(number)
        assert demo.process.wait_exit(60) == 130
    assert not any(service.is_running() for service in services)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"TANDEM_GATEWAY_PORT": "http"}, "TANDEM_GATEWAY_PORT='http': a whole number from 1 to 65535 was expected"),
        ({"TANDEM_GATEWAY_PORT": "0"}, "TANDEM_GATEWAY_PORT='0': a whole number from 1 to 65535 was expected"),
        ({"TANDEM_GATEWAY_HOST": "::1"}, "the gateway cannot listen on ::1:{port} (Address already in use)"),
        (
            {"TANDEM_GATEWAY_HOST": "127.0.0.1"},
            "the gateway cannot listen on 127.0.0.1:{port} (Address already in use)",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_told_before_anything_starts(
    setting: dict[str, str], said: str, tmp_path: Path
) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        port = str(taken.getsockname()[1])
        variables = {"TANDEM_GATEWAY_PORT": port, "TANDEM_EMBEDDER_PORT": str(free_port()), **setting}
        done = subprocess.run(
            [sys.executable, "-m", "tandem_cli", "dev"],
            env={**inherited_environment(), **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tandem: {said.format(port=port)}")
    assert done.stderr.count("\n") == 1
