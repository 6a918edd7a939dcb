"""No body of a request blocks the event loop of the embedder."""

from collections.abc import Callable

import msgspec
import pytest

from tests.integration.watched import HELD_SECONDS, embedder, held
from tests.integration.worst_bodies.vectors import EMBEDS


@pytest.mark.parametrize("make", EMBEDS.values(), ids=EMBEDS.keys())
async def test_no_body_holds_the_embedder(make: Callable[[], bytes]) -> None:
    async with embedder() as url:
        status, seconds = await held(f"{url}/embed", make())
        assert status in (200, 400, 413, 422, 429), status
        assert seconds < HELD_SECONDS


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode({"texts": ["some words, " * 8_333] * 64}),
        b"\x81\xa5texts\xdd\x00\x7a\x12\x00" + b"\xa0" * 8_000_000,
        b"\x81\xa5texts\xdd\xff\xff\xff\xff" + b"\xa0" * 8_000_000,
        b"\x81" * 8_000_000,
    ],
    ids=["64 texts", "eight million texts", "more texts than bytes", "maps"],
)
async def test_no_messagepack_holds_the_embedder(body: bytes) -> None:
    async with embedder() as url:
        status, seconds = await held(f"{url}/embed", body, "application/msgpack")
        assert status in (200, 400, 413, 422, 429), status
        assert seconds < HELD_SECONDS
