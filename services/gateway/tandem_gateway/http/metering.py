"""Counts each request of a known caller, refuses those beyond its limits, and tells it in headers what is left.

The headers are ``RateLimit-Limit``, ``RateLimit-Remaining`` and ``RateLimit-Reset``, of the limit of which the smallest
share is left; see the third draft of ``draft-ietf-httpapi-ratelimit-headers``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tandem_gateway.access.accounts import Account
from tandem_gateway.access.metering import Metering
from tandem_gateway.errors import RateLimited
from tandem_gateway.http.authentication import OPEN_PATHS, PRINCIPAL
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.exact_paths import without_slash
from tandem_gateway.use_cases import caller
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

Hold = Callable[[float], Awaitable[None]]
"""Waits for this many seconds."""

_TOO_MANY: Final = 429


def metered(app: AsgiApp, metering: Metering, hold: Hold = asyncio.sleep) -> AsgiApp:
    """Return an application that counts and limits the requests of callers that ``authenticated`` has found.

    Args:
        app: answers the requests.
        metering: the callers' accounts.
        hold: lets the answer to a refused request wait; see ``access.pacing``.
    """

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get(PRINCIPAL)
        if principal is None or without_slash(scope["path"]) in OPEN_PATHS:
            await app(scope, receive, send)
            return
        account = metering.account(principal)
        if account.limits:
            send = _telling(account, send, hold)
        try:
            account.request()
        except RateLimited as error:
            await reply_to(error).send(scope, send)
            return
        caller.current.set(account)
        await app(scope, receive, send)

    return admitted


def _telling(account: Account, send: Send, hold: Hold) -> Send:
    """Return a send function that adds what is left of the caller's limits to a reply, and paces refusals."""

    async def send_and_tell(message: Message) -> None:
        refused = message["type"] == "http.response.start" and message["status"] == _TOO_MANY
        if refused and (seconds := account.refusals.wait()):
            await hold(seconds)
        if message["type"] == "http.response.start" and (standing := account.tightest()) is not None:
            told = (
                (b"ratelimit-limit", b"%d" % standing.limit.burst),
                (b"ratelimit-remaining", b"%d" % standing.left),
                (b"ratelimit-reset", b"%d" % standing.seconds),
            )
            message = {**message, "headers": [*message["headers"], *told]}
        await send(message)

    return send_and_tell
