"""A real HTTP server on the loopback whose answers a test prescribes, one for each request, also broken ones.

with ScriptedServer(reply(429, retry_after="0"), CUT, reply(200, body=b"{}")) as server:
    ...
    assert len(server.requests) == 3
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """A request as it came; the names of its headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[Request], bytes]
"""Bytes to send before the connection closes, or a function that makes them."""

CUT = b""
"""The connection is reset after the request."""
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"
"""The connection ends inside the body."""


def reply(status: int, body: object = None, **headers: str) -> bytes:
    """Return a whole response; an underscore in a header's name stands for a hyphen."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(content)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def refusal(status: int, code: str, message: str = "no", param: str | None = None, **headers: str) -> bytes:
    """Return an error in the shape of the gateway."""
    return reply(status, {"error": {"message": message, "type": "x", "code": code, "param": param}}, **headers)


def job(status: str = "completed", **fields: Any) -> dict[str, Any]:
    """Return a job as JSON."""
    return {
        "job_id": "job_1",
        "status": status,
        "total_documents": 1,
        "processed_documents": 0,
        "error": None,
        "started_at": None,
        "finished_at": None,
        **fields,
    }


class ScriptedServer:
    """Answers each request with the next answer; the last one is for all further requests."""

    def __init__(self, *answers: Answer, context: ssl.SSLContext | None = None) -> None:
        assert answers
        self._answers = list(answers)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.requests: list[Request] = []
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection:
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                with connection:
                    request = _read(connection)
                    if request is not None:
                        self._answer(connection, request)
            except OSError:
                return  # the client went away

    def _answer(self, connection: socket.socket, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        sent = answer(request) if callable(answer) else answer
        if sent == CUT:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.sendall(sent)


def _read(connection: socket.socket) -> Request | None:
    with connection.makefile("rb") as file:
        first = file.readline().decode().split()
        if not first:
            return None
        headers = dict(_headers(iter(file.readline, b"\r\n")))
        body = file.read(int(headers.get("content-length", 0)))
        return Request(first[0], first[1], headers, body)


def _headers(lines: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    for line in lines:
        name, _, value = line.decode().partition(":")
        yield name.strip().lower(), value.strip()
