"""``python -m gateway_bench.architectures.stub_embedder PORT COUNT``: an embedder that knows only numbered texts.

It answers "document 7 ..." with the synthetic vector of document 7, and "query 7 ..." with that of query 7. So a
benchmark measures the gateway and its index without a model.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from gateway_bench import synthetic
from tandem_contract.embed import EmbedRequest, PackedEmbedReply

QUERIES: Final = 1_000
FINGERPRINT: Final = "synthetic-vectors-1"

_request_decoder = msgspec.msgpack.Decoder(EmbedRequest)
_encode = msgspec.msgpack.Encoder().encode


class Stub(ThreadingHTTPServer):
    """Serves the vectors."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, count: int) -> None:
        self.vectors: dict[str, npt.NDArray[Any]] = {
            "document": synthetic.documents(count),
            "query": synthetic.queries(QUERIES),
        }
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        self._answer(b'{"status":"ready"}', "application/json")

    def do_POST(self) -> None:
        request = _request_decoder.decode(self.rfile.read(int(self.headers["content-length"])))
        rows = []
        for text in request.texts:
            kind, number, *_ = text.split(" ", 2)
            rows.append(self.server.vectors[kind][int(number)])
        vectors = np.stack(rows).astype("<f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        count = len(rows)
        reply = PackedEmbedReply(
            embeddings=vectors.tobytes(),
            dim=synthetic.DIM,
            model="synthetic",
            fingerprint=FINGERPRINT,
            tokens=[8] * count,
            truncated=[False] * count,
            unknown=[0.0] * count,
        )
        self._answer(_encode(reply), "application/msgpack")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


if __name__ == "__main__":
    Stub(int(sys.argv[1]), int(sys.argv[2])).serve_forever()
