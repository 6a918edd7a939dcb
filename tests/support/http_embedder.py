"""An embedder over HTTP without a model: vectors are ``fakes.vector_of``, and passages are paragraphs."""

import ssl
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec

from tandem_contract import embed, headers
from tandem_contract.embed import Chunking, EmbedRequest, PackedEmbedReply, Passage
from tests.support.fakes import DIM, FINGERPRINT, MODEL, paragraphs, vectors_of

_REFUSAL = (
    b'{"error":{"message":"a text is refused","type":"invalid_request_error","code":"invalid_request","param":null}}'
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self._reply(b"{}")

    def do_POST(self) -> None:
        assert self.path == embed.PATH
        body = self.rfile.read(int(self.headers["content-length"]))
        request = msgspec.msgpack.decode(body, type=EmbedRequest)
        if not self.server.accepts(request):
            self._reply(_REFUSAL, 422, "application/json")
            return
        passages: list[Passage] | msgspec.UnsetType = msgspec.UNSET
        texts = request.texts
        if isinstance(request.chunking, Chunking):
            passages = [
                Passage(number, start, end, 3)
                for number, text in enumerate(request.texts)
                for start, end in paragraphs(text)
            ]
            texts = [request.texts[passage.text][passage.start : passage.end] for passage in passages]
        vectors = vectors_of(texts).astype("<f4").tobytes()
        count = len(texts)
        reply = PackedEmbedReply(vectors, DIM, MODEL, FINGERPRINT, [3] * count, [False] * count, passages=passages)
        self._reply(msgspec.msgpack.encode(reply))

    def _reply(self, body: bytes, status: int = 200, content_type: str = headers.MSGPACK) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    accepts: Callable[[EmbedRequest], bool]

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # that is a killed gateway
            super().handle_error(request, client_address)


class HttpFakeEmbedder:
    """Serves on a free loopback port while the context is open."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, accepts: Callable[[EmbedRequest], bool] = lambda request: True
    ) -> None:
        """Make it.

        Args:
            tls: its URL begins with https and has the name ``localhost``; None for plain HTTP.
            accepts: called in a thread of each call before the answer; false refuses the texts with the status 422.
        """
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.accepts = accepts
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"{'http://127.0.0.1' if tls is None else 'https://localhost'}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
