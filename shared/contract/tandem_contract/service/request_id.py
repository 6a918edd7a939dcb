"""The id of a request: taken from the client or made, given back on every response, carried by every log line."""

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tandem_contract import headers
from tandem_contract.service import logs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADER = headers.REQUEST_ID.encode()
# What a log line, a header and a shell can hold without quoting; anything else is replaced by an id of ours.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:\-]{1,128}\Z")


def choose_request_id(given: bytes | None) -> bytes:
    """Return ``given`` if it is 1 to 128 characters of ``A-Za-z0-9._:-``, else a new random id."""
    if given is not None and _WELL_FORMED.match(given):
        return given
    return secrets.token_hex(8).encode()


def with_request_id(app: AsgiApp) -> AsgiApp:
    """Return ``app`` with a request id on every HTTP response, errors of the framework included."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), None)
        chosen = choose_request_id(given)
        token = logs.request_id.set(chosen.decode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, chosen)]
            await send(message)

        try:
            await app(scope, receive, send_with_id)
        finally:
            logs.request_id.reset(token)

    return wrapped
