"""Reads a request's body within its limit, and cancels work when the client disconnects; plain ASGI."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from tandem_contract.decoding import Body, InvalidMessage
from tandem_runtime.client_connection import connection_of
from tandem_runtime.durations import duration
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Receive, Scope, header

T = TypeVar("T")

# The service reads a body over the limit to its end and discards it. The client can then read the 413 and keep the
# connection. The service reads at most this many times the limit.
DISCARDED_BODIES: Final = 4


FED_BYTES: Final = 64 << 10
"""Maximum size of a part that ``feed_body`` gives away; the event loop takes a turn after each."""


STOP_DECODING: Final = "tandem.stop_decoding"
"""Scope key of a function without arguments; only a request with a content coding has it.

``receive`` then returns decompressed parts. After the call it returns the rest of the body as it was sent: a body over
the limit is not decompressed any further.
"""


class ClientGone(Exception):
    """The client closed the connection before the response."""


# Timeout for a whole body: a slow client holds memory and a connection.
BODY_SECONDS: Final = 30.0


async def read_body(
    scope: Scope, receive: Receive, max_bytes: int, seconds: float = BODY_SECONDS, lease: Lease | None = None
) -> Body:
    """Return the whole body, with or without a declared length.

    Args:
        scope: of the request.
        receive: returns the parts of the body.
        max_bytes: the limit.
        seconds: timeout for the whole body.
        lease: holds the body's bytes as they arrive; required if ``max_bytes`` is more than a lease holds for free.

    Raises:
        OverBudget: if the budget has too few bytes left.
        InvalidMessage: ``body_too_large`` if the body has more than ``max_bytes``; ``body_timeout`` if it does not end
            within ``seconds``.
        ClientGone: if the connection closes before the body ends.
    """
    connection = connection_of(scope)
    if connection is not None and connection.body_has_arrived():
        return await _read_body(
            scope, receive, max_bytes, lease
        )  # does not wait, and a timeout costs more than the rest
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)  # before the first receive, which would make the client send the body
    try:
        async with asyncio.timeout(seconds):
            return await _read_body(scope, receive, max_bytes, lease)
    except TimeoutError:
        raise InvalidMessage(
            f"the body did not arrive within {duration(seconds)}", code="body_timeout", param="body"
        ) from None


async def feed_body(
    scope: Scope, receive: Receive, max_bytes: int, feed: Callable[[bytes], None], seconds: float = BODY_SECONDS
) -> None:
    """Give the parts of a body to ``feed`` as they arrive, so that a parser needs no copy of the whole.

    Args:
        scope: of the request.
        receive: returns the parts of the body.
        max_bytes: the limit.
        feed: called with each part, at most ``FED_BYTES`` long. After it raises, the rest of the body is discarded, as
            that of a body over the limit is, and then its error is raised.
        seconds: timeout for the whole body.

    Raises:
        InvalidMessage, ClientGone: as ``read_body`` does.
        Exception: whatever ``feed`` raises.
    """
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(seconds):
            await _feed_body(scope, receive, max_bytes, feed)
    except TimeoutError:
        raise InvalidMessage(
            f"the body did not arrive within {duration(seconds)}", code="body_timeout", param="body"
        ) from None


async def _feed_body(scope: Scope, receive: Receive, max_bytes: int, feed: Callable[[bytes], None]) -> None:
    refused: Exception | None = None
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > max_bytes and refused is None:
            refused = _over_limit(scope, max_bytes)
        for begin in range(0, len(chunk), FED_BYTES):
            if refused is not None:
                break
            try:
                feed(chunk[begin : begin + FED_BYTES])
            except Exception as error:
                refused = error
            await asyncio.sleep(0)
        if refused is not None and size > DISCARDED_BODIES * max_bytes:
            break
    if refused is not None:
        try:
            raise refused
        finally:
            refused = None  # its traceback has this frame, and together they would be a cycle that holds the body


async def _read_body(scope: Scope, receive: Receive, max_bytes: int, lease: Lease | None) -> Body:
    too_large: InvalidMessage | None = None
    body = bytearray()  # grows in place; joining chunks at the end would take twice the memory
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        if not size and not message.get("more_body", False) and len(chunk) <= max_bytes:  # nearly every body
            if lease is not None:
                lease.hold(len(chunk))
            return chunk
        size += len(chunk)
        if too_large is None and size > max_bytes:
            too_large = _over_limit(scope, max_bytes)
            body.clear()
            if lease is not None:
                lease.release()
        if too_large is None:
            if lease is not None:
                lease.hold(size)
            body += chunk
        more = message.get("more_body", False)
        if too_large is not None and (not more or size > DISCARDED_BODIES * max_bytes):
            try:
                raise too_large
            finally:
                too_large = None  # as in ``_feed_body``: its traceback has the frames that hold the lease
        if not more:
            return body


def _over_limit(scope: Scope, max_bytes: int) -> InvalidMessage:
    """Return the error for a body that is over the limit, and stop its decompression."""
    stop = scope.get(STOP_DECODING)
    if stop is None:
        return _too_large(max_bytes)
    stop()
    return _too_large(max_bytes, "decompressed body")


def _too_large(max_bytes: int, what: str = "body") -> InvalidMessage:
    return InvalidMessage(
        f"the {what} has more than {max_bytes} bytes, which is the limit; send less at once",
        code="body_too_large",
        param="body",
    )


async def cancel_on_disconnect(scope: Scope, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``, and cancel it if the client disconnects. Read the body first.

    Args:
        scope: of the request; its connection reports the disconnect by a callback.
        receive: reports the disconnect to a watcher task if there is no connection.
        work: the request's work.

    Raises:
        ClientGone: if the connection closes first.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        leave()

    connection = connection_of(scope)
    watcher = None
    if connection is None:
        watcher = asyncio.create_task(watch())
    else:
        connection.on_disconnect(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        if connection is not None:
            connection.on_disconnect(None)
        if watcher is not None:
            watcher.cancel()
