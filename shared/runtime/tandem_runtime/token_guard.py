"""Refuses requests that bear no accepted token, as a plain ASGI wrapper."""

from collections.abc import Callable
from typing import Final

from tandem_contract import headers
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import AsgiApp, Receive, Scope, Send, header
from tandem_runtime.tokens import Tokens

_AUTHORIZATION: Final = headers.AUTHORIZATION.encode()


def require_token(app: AsgiApp, tokens: Tokens, refuse: Reply, on_refused: Callable[[], None]) -> AsgiApp:
    """Return an application that sends ``refuse`` to requests without an accepted token, before their body is read.

    Args:
        app: serves the other requests.
        tokens: the accepted tokens; without any, ``app`` serves every request.
        refuse: the reply, of status 401.
        on_refused: called at each refusal, for metrics.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not tokens.accepts(header(scope, _AUTHORIZATION)):
            on_refused()
            await refuse.send(scope, send)
        else:
            await app(scope, receive, send)

    return guarded


def token_refusal(setting: str) -> Reply:
    """Return the reply to a request without an accepted token; ``setting`` is the variable that has the tokens."""
    return refusal(
        "unauthorized",
        f"authorization: a bearer token that {setting} accepts was expected",
        "authorization",
        extra_headers=((b"www-authenticate", b"Bearer"),),
    )
