"""The header ``x-tandem-position``: on replies the position of the store, on requests the one that the client knows.

A reply has the last position that the gateway knows when the reply begins. The gateway notes the position after each
read and write of the store, so the position has all that the reply tells.
"""

import re
from collections.abc import Callable
from typing import Final

from tandem_contract import headers
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.errors import reply_to
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.use_cases import freshness
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

_HEADER: Final = headers.POSITION.encode()
POSITION_PATTERN: Final = "^([0-9a-f]{32})\\.([0-9]{1,18})$"
_TOKEN: Final = re.compile(POSITION_PATTERN.encode().strip(b"^$"))
_PREFIX: Final = "/v1/"
_FIRST_ERROR: Final = 400


def positioned(app: AsgiApp, position: Callable[[], StorePosition | None]) -> AsgiApp:
    """Return an application that reads and sends the header.

    Args:
        app: answers the requests.
        position: returns what knows the store's position; None while the store is not open.
    """

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        store = position() if scope["type"] == "http" and scope["path"].startswith(_PREFIX) else None
        if store is None:
            await app(scope, receive, send)
            return

        async def send_with_position(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _FIRST_ERROR:
                told = (_HEADER, f"{store.store_id}.{store.last}".encode())
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        given = [value for name, value in scope["headers"] if name == _HEADER]
        if not given:
            await app(scope, receive, send_with_position)
            return
        try:
            after = position_in(given, store.store_id)
        except InvalidRequest as error:
            await reply_to(error).send(scope, send)
            return
        token = freshness.after.set(after)
        try:
            await app(scope, receive, send_with_position)
        finally:
            freshness.after.reset(token)

    return answered


def position_in(given: list[bytes], store_id: str) -> int:
    """Return the position in the header's values.

    Raises:
        InvalidRequest: there are several values, or the value is not one that a reply had, or it is of another store.
    """
    if len(given) > 1:
        raise InvalidRequest(f"{headers.POSITION}: is there more than once", param=headers.POSITION)
    token = _TOKEN.fullmatch(given[0])
    if token is None:
        raise InvalidRequest(
            f"{headers.POSITION}: the value that a reply had in this header was expected, at most 51 characters",
            param=headers.POSITION,
        )
    if token[1].decode() != store_id:
        raise InvalidRequest(
            f"{headers.POSITION}: is of another store; send the request without the header", param=headers.POSITION
        )
    return int(token[2])
