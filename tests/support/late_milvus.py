"""A proxy before a server of Milvus whose searches show changes late, as Milvus does at the level *Bounded*.

The embedded server of the tests shows each write at once. The proxy takes rows that were written within the last
seconds out of the replies to searches, and puts rows that were deleted within them at their top. All else, such as
counts at the level *Strong*, passes unchanged.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from pymilvus.grpc_gen import milvus_pb2

_THREADS: Final = 16
_MOST_SECONDS: Final = 120.0
_NOT_FORWARDED: Final = {"user-agent", "grpc-accept-encoding", "accept-encoding"}


class LateMilvus(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Forwards all calls to a server; ``url`` leads to it."""

    def __init__(self, server: str, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the proxy.

        Args:
            server: URL of the server.
            seconds: until searches show a change.
            clock: returns seconds.
        """
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._written: dict[tuple[str, int], float] = {}
        """Collection and key → when it was written, or deleted."""
        self._deleted: dict[tuple[str, int], float] = {}
        self.hidden = 0
        """How many rows searches have not shown yet."""
        self.ghosts = 0
        """How many deleted rows searches have shown."""
        self._held_back = ""
        self._refused = ""
        self._stopped = threading.Event()
        self._end = threading.Event()
        self._channel = grpc.insecure_channel(
            server.removeprefix("http://"), options=[("grpc.max_reconnect_backoff_ms", 100)]
        )
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=[self])
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop_before(self, what: str) -> None:
        """Hold all calls of a method, or all upserts into a collection, back until ``go_on``; they never arrive."""
        self._stopped.clear()
        self._end.clear()
        self._held_back = what

    def refuse(self, collection: str) -> None:
        """Refuse all upserts into a collection until ``go_on``."""
        self._refused = collection

    def is_stopped(self) -> bool:
        """Return whether a call is held back."""
        return self._stopped.is_set()

    def go_on(self) -> None:
        """Refuse the calls that are held back, and let all others through."""
        self._held_back = self._refused = ""
        self._end.set()

    def close(self) -> None:
        """Stop the proxy, but not the server."""
        self.go_on()
        self._server.stop(None).wait()
        self._channel.close()

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        """Return what handles a call."""
        path: str = handler_call_details.method
        method = path.rpartition("/")[2]
        call = self._channel.unary_unary(path)

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._before(method, request, context)
            metadata = [each for each in context.invocation_metadata() if each[0] not in _NOT_FORWARDED]
            left = context.time_remaining()
            try:
                # Without a deadline a huge time remains, which the library does not take.
                reply: bytes = call(request, metadata=metadata, timeout=min(left or _MOST_SECONDS, _MOST_SECONDS))
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
                raise AssertionError("abort raises") from error
            return self._shown(reply) if method == "Search" else reply

        return grpc.unary_unary_rpc_method_handler(handle)

    def _before(self, method: str, request: bytes, context: grpc.ServicerContext) -> None:
        upsert = milvus_pb2.UpsertRequest.FromString(request) if method == "Upsert" else None
        name = method if upsert is None else upsert.collection_name
        if name == self._held_back:
            self._stopped.set()
            self._end.wait()
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "held back")  # a status that the client does not retry
        if upsert is not None:
            if name == self._refused:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
            with self._lock:
                for field in upsert.fields_data:
                    for key in field.scalars.long_data.data if field.field_name == "key" else ():
                        self._written.setdefault((name, key), self._clock())
        elif method == "Delete":
            delete = milvus_pb2.DeleteRequest.FromString(request)
            with self._lock:
                for key in re.findall(r"\d+", delete.expr.partition(" in ")[2]):
                    self._deleted[delete.collection_name, int(key)] = self._clock()

    def _shown(self, reply: bytes) -> bytes:
        """Return a reply to a search as it would have been some seconds ago."""
        found = milvus_pb2.SearchResults.FromString(reply)
        data, name = found.results, found.collection_name
        with self._lock:
            late = {key: self._is_late(self._written.get((name, key))) for key in data.ids.int_id.data}
            ghosts = [key for (where, key), at in self._deleted.items() if where == name and self._is_late(at)]
        hits = iter(zip(data.ids.int_id.data, data.scores, strict=True))
        keys: list[int] = []
        scores: list[float] = []
        counts: list[int] = []
        for count in data.topks:
            kept = [(key, score) for key, score in _first(hits, count) if not late[key] and key not in ghosts]
            self.hidden += count - len(kept)
            self.ghosts += len(ghosts)
            kept = [(key, 1.0) for key in ghosts] + kept
            keys += [key for key, _ in kept]
            scores += [score for _, score in kept]
            counts.append(len(kept))
        for values, new in ((data.ids.int_id.data, keys), (data.scores, scores), (data.topks, counts)):
            del values[:]
            values.extend(new)
        for field in data.fields_data:
            assert field.field_name == "key"
            del field.scalars.long_data.data[:]
            field.scalars.long_data.data.extend(keys)
        data.top_k = max(counts, default=0)
        shown: bytes = found.SerializeToString()
        return shown

    def _is_late(self, at: float | None) -> bool:
        return at is not None and self._clock() - at < self._seconds


def _first(hits: Iterator[tuple[int, float]], count: int) -> list[tuple[int, float]]:
    return [next(hits) for _ in range(count)]
