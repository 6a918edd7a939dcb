"""Refusals wait if they are many: the decision, and its effect over HTTP."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.pacing import HELD_SECONDS, OF_A_CALLER, OF_STRANGERS, Pace
from tandem_gateway.access.rates import Rate
from tandem_gateway.http import authentication, metering
from tests.gateway.access.test_limits_of_routes import COLLECTIONS, EMBEDDINGS, Asked, Request, gateway

STEPS = st.lists(st.floats(0, 3), min_size=1, max_size=100)


@given(STEPS, st.floats(0.5, 20), st.integers(1, 20))
def test_no_second_has_more_answers_at_once_than_the_rate_and_the_burst_allow(
    steps: list[float], per_second: float, burst: int
) -> None:
    now = 0.0
    pace = Pace(Rate(per_second, burst), lambda: now)
    at_once: list[float] = []
    for step in steps:
        now += step
        waits = pace.wait()
        assert waits in (0.0, HELD_SECONDS)
        if not waits:
            at_once.append(now)
    for first, begin in enumerate(at_once):
        for last in range(first, len(at_once)):
            assert last - first + 1 <= burst + (at_once[last] - begin) * per_second + 1e-3


def test_a_flood_has_no_effect_on_refusals_after_it() -> None:
    now = 0.0
    pace = Pace(OF_A_CALLER, lambda: now)
    assert [pace.wait() for _ in range(1000)].count(0.0) == OF_A_CALLER.burst
    now += OF_A_CALLER.burst / OF_A_CALLER.per_second
    assert [pace.wait() for _ in range(1000)].count(0.0) == OF_A_CALLER.burst


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of a gateway, which do not happen."""
    waits: list[float] = []

    async def hold(seconds: float) -> None:
        waits.append(seconds)

    for module, name in ((metering, "metered"), (authentication, "authenticated")):
        function: Any = getattr(module, name)
        defaults = function.__kwdefaults__ or {}
        if "hold" in defaults:
            monkeypatch.setitem(defaults, "hold", hold)
        else:
            monkeypatch.setattr(function, "__defaults__", (hold,))
    return waits


async def test_a_key_that_goes_on_beyond_its_limit_is_answered_later(tmp_path: Path, held: list[float]) -> None:
    async with gateway(tmp_path, ["requests=1/day"], ["requests=1000/day"]) as asked:
        key, other = asked.keys
        assert (await asked.send(key, COLLECTIONS))[0] == 200
        replies = await asyncio.gather(*(asked.send(key, COLLECTIONS) for _ in range(200)))
        assert {status for status, _, _ in replies} == {429}
        paced = len(held)
        assert paced > 0
        assert set(held) == {HELD_SECONDS}
        assert (await asked.send(other, COLLECTIONS))[0] == 200
        assert len(held) == paced


async def test_a_refusal_that_waits_holds_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_held: list[list[str]] = []
    started: list[Asked] = []

    async def hold(seconds: float) -> None:
        (asked,) = started
        _, _, metrics = await asked.send(asked.keys[1], ("GET", "/metrics", None))
        bytes_held.append(re.findall(r"^tandem_gateway_in_flight_bytes (.*)$", metrics.decode(), re.MULTILINE))

    monkeypatch.setattr(metering.metered, "__defaults__", (hold,))
    async with gateway(tmp_path, ["tokens=1/day"], None) as asked:
        started.append(asked)
        key = asked.keys[0]
        assert (await asked.send(key, EMBEDDINGS))[0] == 200
        texts = ["words " * 15_000] * 3
        requests = (
            ("/v1/ingest", {"documents": [{"text": text} for text in texts]}),
            ("/v1/embeddings", {"input": texts}),
        )
        while len(bytes_held) < 4:
            for path, body in requests:
                assert (await asked.send(key, ("POST", path, body)))[0] == 429
    assert bytes_held == [["0.0"]] * len(bytes_held)


@pytest.mark.parametrize("request_", [COLLECTIONS, ("GET", "/v1/admin/keys", None)], ids=lambda each: str(each[1]))
async def test_requests_without_a_key_are_answered_later_if_they_are_many(
    tmp_path: Path, held: list[float], request_: Request
) -> None:
    async with gateway(tmp_path, None) as asked:
        (key,) = asked.keys
        statuses: set[int] = set()
        while not held:
            replies = await asyncio.gather(*(asked.send("no-key", request_) for _ in range(OF_STRANGERS.burst)))
            statuses |= {status for status, _, _ in replies}
        assert statuses == {401}
        paced = len(held)
        assert (await asked.send(key, request_))[0] == 200
        assert len(held) == paced
