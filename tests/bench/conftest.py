"""A server whose answers a test scripts, a corpus, and functions that inspect processes."""

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

Answer = tuple[int, bytes] | None
"""Status and body; None drops the connection."""

FOUND = json.dumps({"results": [{"id": "a", "score": 0.5, "text": "t", "metadata": {}}], "took_ms": 1.0}).encode()


class ScriptedServer:
    """Answers the n-th search, counted from 0, as ``script`` says; records the requests."""

    def __init__(self) -> None:
        self.script: Callable[[int], Answer] = lambda number: (200, FOUND)
        self.asked: list[dict[str, object]] = []
        self.document_count = 1
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer((200, json.dumps({"document_count": outer.document_count}).encode()))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer._lock:
                    number = len(outer.asked)
                    outer.asked.append(body)
                self._answer(outer.script(number))

            do_PUT = do_POST  # noqa: N815 - the name is that of http.server

            def _answer(self, answer: Answer) -> None:
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer
                head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def children_with(word: str, pid: int) -> list[psutil.Process]:
    """Return the processes under ``pid`` with this word in their command; others may end meanwhile."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if word in process.cmdline():
                found.append(process)
    return found


def listening(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that accept connections."""
    return [process for process in processes if any(c.status == "LISTEN" for c in process.net_connections())]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with enough text for distinct queries."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(300)]
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": " ".join(draw.choices(words, k=400))}) + "\n" for _ in range(20)))
    return path


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    made = ScriptedServer()
    yield made
    made.close()
