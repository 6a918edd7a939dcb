"""``python stub_embeddings.py SHAPE PORT [FAULT]``: an embedding server of one shape, without a model.

FAULT is ``deaf`` (listens on no port), ``loading`` (answers 503), ``short`` (omits a vector, except for single texts),
``infinite`` (returns a non-finite number, in batches) or ``dies`` (exits at the first batch of a load).
"""

import hashlib
import itertools
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIM = 4
_DYING_AT = 2

shape = sys.argv[1]
fault = sys.argv[3] if len(sys.argv) > 3 else ""
batches = itertools.count(1)


def vector(text: str) -> list[float]:
    """Return a vector that depends on this text only."""
    return [byte / 255 + 0.01 for byte in hashlib.sha256(text.encode()).digest()[:DIM]]


def answer(body: dict[str, Any]) -> object:
    """Return the answer in the server's shape."""
    texts = body[{"tandem": "texts", "tei": "inputs", "openai": "input"}[shape]]
    vectors = [vector(text) for text in texts]
    if len(texts) > 1:
        if next(batches) == _DYING_AT and fault == "dies":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(9)
        if fault == "short":
            vectors.pop()
        if fault == "infinite":
            vectors[0][0] = float("inf")
    if shape == "tei":
        return vectors
    if shape == "openai":
        assert body["model"] == "stub"
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)]
        return {"object": "list", "model": body["model"], "data": data[::-1]}
    assert body["kind"] in ("query", "document")
    return {"embeddings": vectors, "dim": DIM, "model": "stub", "fingerprint": "stub"}


class Handler(BaseHTTPRequestHandler):
    """Answers the one route of the shape."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != ("/v1/embeddings" if shape == "openai" else "/embed"):
            self._send(404, b"no such route")
        elif fault == "loading":
            self._send(503, b"the model loads")
        else:
            try:
                self._send(200, json.dumps(answer(body)).encode())
            except (KeyError, AssertionError) as error:
                self._send(422, repr(error).encode())

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


if fault == "deaf":
    threading.Event().wait()
assert os.environ["PORT"] == sys.argv[2]
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
server.daemon_threads = True
server.serve_forever()
