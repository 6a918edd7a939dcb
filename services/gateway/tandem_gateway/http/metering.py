"""Counts each request of a known caller, refuses those beyond its limits, and tells it in headers what is left.

The headers are ``RateLimit-Limit``, ``RateLimit-Remaining`` and ``RateLimit-Reset``, of the limit of which the smallest
share is left; see the third draft of ``draft-ietf-httpapi-ratelimit-headers``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tandem_gateway.access.accounts import Account
from tandem_gateway.access.metering import Metering
from tandem_gateway.access.pacing import HELD_SECONDS
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
        later: list[Message] = []
        told = _telling(account, send, later) if account.limits else send
        try:
            account.request()
        except RateLimited as error:
            await reply_to(error).send(scope, told)
        else:
            caller.current.set(account)
            await app(scope, receive, told)
        if later:  # the application has returned, so that the memory of a large body is free during the wait
            await hold(HELD_SECONDS)
            for message in later:
                await send(message)

    return admitted


def _telling(account: Account, send: Send, later: list[Message]) -> Send:
    """Return a send function that adds what is left of the caller's limits to a reply.

    A refusal that has to wait is not sent, but added to ``later``.
    """

    async def send_and_tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            waits = message["status"] == _TOO_MANY and account.refusals.wait() > 0
            if (standing := account.tightest()) is not None:
                told = (
                    (b"ratelimit-limit", b"%d" % standing.limit.burst),
                    (b"ratelimit-remaining", b"%d" % standing.left),
                    (b"ratelimit-reset", b"%d" % standing.seconds),
                )
                message = {**message, "headers": [*message["headers"], *told]}
            if waits:
                later.append(message)
                return
        if later:
            later.append(message)
        else:
            await send(message)

    return send_and_tell
