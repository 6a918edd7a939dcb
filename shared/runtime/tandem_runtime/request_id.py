"""The id of a request, the client's or a new one; every response and log line has it. Also the types of ASGI."""

import random
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from tandem_contract import headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER: Final = headers.REQUEST_ID.encode()
ID: Final = "tandem.request_id"
"""Scope key of the id, as bytes."""

# Characters that need no quoting in a log line, a header or a shell. A new id replaces any other.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:\-]{1,128}\Z")


def choose_request_id(given: bytes | None) -> bytes:
    """Return ``given`` if it is 1 to 128 characters of ``A-Za-z0-9._:-``, else a new random id."""
    if given is not None and _WELL_FORMED.match(given):
        return given
    return b"%016x" % random.getrandbits(64)


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header, or None; ``name`` must be in lower case."""
    for key, value in scope.get("headers", ()):
        if key == name:
            found: bytes = value
            return found
    return None
