"""``make demo``'s program as a new user runs it: real services, the real corpus, searches with the expected answers."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.processes import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 180.0

# What a person who knows the standard library expects, and what must be among the first three.
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


@dataclass
class Demo:
    """A running demonstration: where its gateway is, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]


@pytest.fixture(scope="module")
def demo(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    gateway_port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "deploy" / "local" / "demo.py")],
        cwd=folder,
        env={
            **inherited,
            "TANDEM_MODEL_DIR": str(model_dir),
            "TANDEM_DATA_DIR": str(folder / "data"),
            "TANDEM_GATEWAY_PORT": str(gateway_port),
            "TANDEM_EMBEDDER_PORT": str(free_port()),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    shown = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "stop with Ctrl-C" in line:
                shown.set()
        shown.set()  # it has ended; whoever waits sees the lines

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert shown.wait(DEMO_SECONDS), f"no end of the demonstration: {lines}"
        assert process.poll() is None, f"the demonstration ended: {lines}"
        yield Demo(process, f"http://127.0.0.1:{gateway_port}", lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def test_the_corpus_has_a_thousand_documents_and_all_are_searchable(demo: Demo) -> None:
    health = httpx.get(f"{demo.url}/healthz", trust_env=False).json()
    assert health["status"] == "ok"
    assert health["document_count"] >= 1000
    assert health["pending_documents"] == 0


@pytest.mark.parametrize(("query", "expected"), EXPECTED, ids=[query for query, _ in EXPECTED])
def test_search_finds_what_a_person_expects_in_the_top_three(demo: Demo, query: str, expected: set[str]) -> None:
    body = {"query": query, "top_k": 3, "collection": "python-stdlib"}
    response = httpx.post(f"{demo.url}/v1/search", json=body, trust_env=False)
    assert response.status_code == 200, response.text
    found = [hit["id"] for hit in response.json()["results"]]
    assert expected & set(found), f"{query!r} found {found}"


def test_it_prints_searches_and_ends_cleanly_at_ctrl_c(demo: Demo) -> None:
    shown = "\n".join(demo.lines)
    assert "documents embedded" in shown
    assert "cache the results of a function" in shown
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
