"""The header of the store's position, on requests and replies."""

import asyncio
import re

import pytest

from tandem_contract import headers
from tandem_gateway.adapters.sole_position import SolePosition
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.positions import POSITION_PATTERN, position_in, positioned
from tandem_gateway.use_cases import freshness
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Message, Receive, Scope, Send

STORE = "0123456789abcdef" * 2
HEADER = headers.POSITION.encode()


async def asked(
    path: str = "/v1/search", given: tuple[bytes, ...] = (), *, status: int = 200, open_store: bool = True
) -> tuple[Message, list[int | None]]:
    """Return the begin of the reply, and the positions that the application saw."""
    seen: list[int | None] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(freshness.after.get())
        await Reply(status, b"{}").send(scope, send)

    async def send(message: Message) -> None:
        sent.append(message)

    position = SolePosition(STORE) if open_store else None
    scope: Scope = {"type": "http", "path": path, "headers": [(HEADER, value) for value in given]}
    await positioned(app, lambda: position)(scope, lambda: asyncio.sleep(3600, {}), send)
    return sent[0], seen


async def test_replies_have_the_position():
    start, seen = await asked()
    assert dict(start["headers"])[HEADER] == f"{STORE}.0".encode()
    assert re.fullmatch(POSITION_PATTERN, f"{STORE}.0")
    assert seen == [None]


@pytest.mark.parametrize(
    ("path", "status", "open_store"), [("/healthz", 200, True), ("/v1/search", 404, True), ("/v1/search", 200, False)]
)
async def test_other_replies_have_none(path: str, status: int, open_store: bool):
    start, _ = await asked(path, status=status, open_store=open_store)
    assert HEADER not in dict(start["headers"])


async def test_a_request_tells_what_its_client_knows():
    _, seen = await asked(given=(f"{STORE}.42".encode(),))
    assert seen == [42]
    assert freshness.after.get() is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((b"",), "at most 51 characters"),
        ((b"42",), "at most 51 characters"),
        ((f"{STORE}.".encode(),), "at most 51 characters"),
        ((f"{STORE}.-1".encode(),), "at most 51 characters"),
        ((f"{STORE}.1\n".encode(),), "at most 51 characters"),
        ((f"{STORE}.{10**18}".encode(),), "at most 51 characters"),
        ((f"{'a' * 32}.1".encode(),), "is of another store"),
        ((f"{STORE}.1".encode(),) * 2, "is there more than once"),
    ],
)
async def test_a_position_that_is_none_is_refused(given: tuple[bytes, ...], message: str):
    start, seen = await asked(given=given)
    assert (start["status"], seen) == (422, [])
    with pytest.raises(InvalidRequest, match=message) as caught:
        position_in(list(given), STORE)
    assert caught.value.param == headers.POSITION
