"""What comes in over an ASGI connection: the body within its limit, and the news that the client has gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from tandem_contract.decoding import Body, InvalidMessage
from tandem_contract.service.exchange import Exchange
from tandem_contract.service.memory import Lease
from tandem_contract.service.request_id import Receive

T = TypeVar("T")

# A body over the limit is read to its end and thrown away, so that the client gets to read the 413 and may keep the
# connection; but only so far.
DISCARDED_BODIES: Final = 4


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


# A client that sends its body more slowly than this is cut off: it holds memory and a connection.
BODY_SECONDS: Final = 30.0


async def read_body(
    receive: Receive,
    max_bytes: int,
    seconds: float = BODY_SECONDS,
    exchange: Exchange | None = None,
    lease: Lease | None = None,
) -> Body:
    """Return the whole body, of which the sender may or may not have told the length.

    Args:
        receive: gives what is not there yet.
        max_bytes: the limit.
        seconds: for all of it.
        exchange: gives what is there already.
        lease: holds the body's bytes as they come; needed where ``max_bytes`` is more than a lease holds for free.

    Raises:
        OverBudget: if the budget has no bytes left for it.
        InvalidMessage: ``body_too_large`` if it has more than ``max_bytes``; ``body_timeout`` if its end has not come
            within ``seconds``.
        ClientGone: if the connection closes before its end.
    """
    if exchange is not None and (body := exchange.complete_body()) is not None:
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if lease is not None:
            lease.hold(len(body))
        return body
    if exchange is not None and (exchange.content_length() or 0) > max_bytes:
        raise _too_large(max_bytes)  # before the first receive, which would tell the client to send it
    try:
        async with asyncio.timeout(seconds):
            return await _read_body(receive, max_bytes, lease)
    except TimeoutError:
        raise InvalidMessage(
            f"the body did not arrive within {seconds:g} s", code="body_timeout", param="body"
        ) from None


async def _read_body(receive: Receive, max_bytes: int, lease: Lease | None) -> Body:
    body = bytearray()  # grows in place; to join chunks at the end would take the memory twice
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= max_bytes:
            if lease is not None:
                lease.hold(size)
            body += chunk
        else:
            body.clear()
        more = message.get("more_body", False)
        if size > max_bytes and (not more or size > DISCARDED_BODIES * max_bytes):
            raise _too_large(max_bytes)
        if not more:
            return body


def _too_large(max_bytes: int) -> InvalidMessage:
    return InvalidMessage(
        f"the body has more than {max_bytes} bytes, which is the limit; send less at once",
        code="body_too_large",
        param="body",
    )


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T], exchange: Exchange | None = None) -> T:
    """Return what ``work`` returns, and cancel it if the client goes away; the body must have been read.

    Args:
        receive: tells that the client has gone, to who waits for it.
        work: the request's.
        exchange: tells it without that.

    Raises:
        ClientGone: if the connection closed first.
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

    watcher = None
    if exchange is None:
        watcher = asyncio.create_task(watch())
    else:
        exchange.on_disconnect(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        if exchange is not None:
            exchange.on_disconnect(None)
        if watcher is not None:
            watcher.cancel()
