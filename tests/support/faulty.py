"""An embedder that misbehaves on demand: a proxy in front of a real one that spoils its answers.

with FaultyEmbedder(service_url(embedder)) as faulty:
    faulty.fault = "garbage"
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

import msgspec

Fault = Literal["refused", "hung", "slow", "unavailable", "garbage", "no HTTP", "wrong rows", "other model", "reset"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

OTHER_FINGERPRINT = "0" * 32


class FaultyEmbedder:
    """Forwards the answers of the embedder behind it; ``fault`` changes the answer to ``POST /embed``.

    After its first changed answer, the fault ``other model`` also changes the answer to ``GET /readyz``.
    """

    def __init__(self, upstream: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()[:2]
        self.url = f"http://{self.host}:{self.port}"
        self.label = f"{self.host}:{self.port}"
        self.fault: Fault | None = None
        self.change: Callable[[dict], None] = lambda reply: None
        """Applied to every reply, which it may change in place."""
        self.slow_seconds = 1.5
        self.calls = 0
        """Number of embed calls that reached it."""
        self._other_model_answered = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._started = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._answer(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                task.add_done_callback(connections.discard)
                writer.transport.abort()

        server = await asyncio.start_server(accepted, sock=self._listener)
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await _read(reader)
            embed = head.startswith(b"POST")
            self.calls += embed
            if self.fault == "refused":
                return
            if self.fault == "hung":
                await asyncio.Event().wait()
            if self.fault != "other model":
                self._other_model_answered = False
            if self._other_model_answered and head.startswith(b"GET /readyz"):
                writer.write(b"".join(await self._of_another_model(head)))
            elif not embed or self.fault is None or self.fault == "slow":
                if embed and self.fault == "slow":
                    await asyncio.sleep(self.slow_seconds)
                answered, content = await self._ask(head + body)
                if embed and answered.split(b" ")[1] == b"200":
                    reply = msgspec.msgpack.decode(content)
                    self.change(reply)
                    answered, content = _ok(msgspec.msgpack.encode(reply))
                writer.write(answered + content)
            elif self.fault == "reset":
                answered, content = await self._ask(head + body)
                writer.write(answered + content[: len(content) // 2])
                await writer.drain()
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
                return
            else:
                writer.write(b"".join(await self._spoiled(head + body)))
            await writer.drain()

    async def _spoiled(self, request: bytes) -> tuple[bytes, bytes]:
        if self.fault == "unavailable":
            return b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b""
        if self.fault == "garbage":
            return _ok(b"\x00garbage\xff")
        if self.fault == "no HTTP":
            return b"\x15\x03\x01\x00\x02\x02\x16", b"\r\n\r\n"
        _, content = await self._ask(request)
        reply = msgspec.msgpack.decode(content)
        if self.fault == "wrong rows":
            reply["embeddings"] += reply["embeddings"][: 4 * reply["dim"]]
        elif self.fault == "other model":
            reply["fingerprint"] = OTHER_FINGERPRINT
            self._other_model_answered = True
        return _ok(msgspec.msgpack.encode(reply))

    async def _of_another_model(self, request: bytes) -> tuple[bytes, bytes]:
        """Return the answer of /readyz with another fingerprint."""
        answered, content = await self._ask(request)
        if answered.split(b" ")[1] != b"200":
            return answered, content
        return _ok(msgspec.json.encode({**msgspec.json.decode(content), "fingerprint": OTHER_FINGERPRINT}))

    async def _ask(self, request: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(request)
            return await _read(reader)
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return head, await reader.readexactly(int(lengths[0])) if lengths else b""


def _ok(content: bytes) -> tuple[bytes, bytes]:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/msgpack\r\ncontent-length: %d\r\n\r\n" % len(content),
        content,
    )
