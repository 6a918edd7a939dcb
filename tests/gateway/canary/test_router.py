"""The canary router between two pools that a test controls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tandem_contract.embed import Priority
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    InvalidRequest,
    Overloaded,
)
from tandem_gateway.records.embedders import Embeddings, PoolState, ReplicaState, ServedModel
from tandem_gateway.use_cases.canary.evaluation import RollbackLimits
from tandem_gateway.use_cases.canary.records import CanaryEvents, CanarySettings
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tests.support.fakes import FINGERPRINT, FakeEmbedder, eventually, turns, vectors_of

LIMITS = RollbackLimits(samples=10)


class FakePool(FakeEmbedder):
    """Implements ``EmbedderPool``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.up = True
        self.known = FINGERPRINT
        self.unknown = False
        """Whether it has not said yet which model it has."""
        self.error: Exception | None = None
        self.noise = 0.0

    def serves(self, fingerprint: str) -> bool:
        return self.up and not self.unknown and self.known == fingerprint

    def state(self) -> PoolState:
        served = None if self.unknown else ServedModel(self.known)
        return PoolState(self.name, [ReplicaState(self.name, "serving", 0, served)])

    async def follow_names(self) -> None:
        return

    async def embed(self, texts, *, kind, priority, timeout, fingerprint=None, split=None):
        found = await super().embed(texts, kind=kind, priority=priority, timeout=timeout, fingerprint=fingerprint)
        if self.error is not None:
            raise self.error
        vectors = found.vectors + self.noise * vectors_of([f"noise {text}" for text in texts])
        return Embeddings(
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
            found.model,
            found.fingerprint,
        )


class RouterFixture:
    """A router between two such pools; ``draws`` are its random numbers, and ``now`` is the time."""

    def __init__(self, weight: int = 0, shadow: int = 0) -> None:
        self.stable, self.canary = FakePool("stable"), FakePool("canary")
        self.now = 0.0
        self.draw = 0.0
        self.shares: list[tuple[int, int]] = []
        self.answered: list[str] = []
        self.fell_back: list[str] = []
        self.rolled_back: list[str] = []
        self.shadowed: list[tuple[str, str]] = []
        self.cosines: list[float] = []
        self.differences: list[float] = []
        self.shift = CanaryRouter(
            self.stable,
            self.canary,
            settings=CanarySettings(LIMITS, attempt=2.0, canary_weight=weight, shadow_percent=shadow),
            events=CanaryEvents(
                lambda weight, shadow: self.shares.append((weight, shadow)),
                self.answered.append,
                self.fell_back.append,
                self.rolled_back.append,
                lambda stable, canary: self.shadowed.append((stable, canary)),
                self.cosines.append,
                self.differences.append,
            ),
            clock=lambda: self.now,
            draw=lambda: self.draw,
        )

    async def embed(
        self, fingerprint: str | None = FINGERPRINT, priority: Priority = "interactive", timeout: float = 10.0
    ) -> Embeddings:
        return await self.shift.embed(
            ["one", "two"], kind="query", priority=priority, timeout=timeout, fingerprint=fingerprint
        )


@asynccontextmanager
async def scenario(weight: int = 0, shadow: int = 0) -> AsyncIterator[RouterFixture]:
    fixture = RouterFixture(weight, shadow)
    try:
        yield fixture
    finally:
        await fixture.shift.stop()


@pytest.mark.parametrize(("weight", "draw", "pool"), [(0, 0.0, "stable"), (10, 0.0999, "canary"), (10, 0.1, "stable")])
@pytest.mark.parametrize("priority", ["interactive", "bulk"])
async def test_the_weight_decides_which_pool_answers(weight: int, draw: float, pool: str, priority: Priority):
    async with scenario(weight) as fixture:
        fixture.draw = draw
        await fixture.embed(priority=priority)
        assert fixture.answered == [pool]


@pytest.mark.parametrize("fingerprint", [None, "0" * 32])
async def test_only_a_canary_with_the_wanted_model_is_asked(fingerprint: str | None):
    async with scenario(weight=100) as fixture:
        await fixture.embed(fingerprint)
        assert fixture.answered == ["stable"]
        assert fixture.canary.calls == []


async def test_an_answer_of_a_canary_that_changed_its_model_is_never_used():
    async with scenario(weight=100) as fixture:
        fixture.canary.fingerprint = "0" * 32
        found = await fixture.embed()
        assert (found.fingerprint, fixture.answered, fixture.fell_back) == (FINGERPRINT, ["stable"], ["model"])
        assert fixture.shift.state().evidence.canary.errors == 1


@pytest.mark.parametrize(
    "error",
    [EmbedderUnavailable("gone"), EmbedderBroken("nonsense"), Overloaded("full"), DeadlineExceeded("late")],
    ids=lambda error: type(error).__name__,
)
async def test_stable_answers_calls_that_the_canary_fails(error: Exception):
    async with scenario(weight=100) as fixture:
        fixture.canary.error = error
        await fixture.embed()
        assert (fixture.answered, fixture.fell_back) == (["stable"], [type(error).__name__])
        assert fixture.canary.timeouts == [2.0]
        assert fixture.stable.timeouts == [10.0]
        await fixture.embed(timeout=1.0, priority="bulk")
        assert fixture.canary.timeouts == [2.0, 0.5]


async def test_texts_that_the_canary_refuses_are_refused():
    async with scenario(weight=100) as fixture:
        fixture.canary.error = EmbedderRejected("too long")
        with pytest.raises(EmbedderRejected):
            await fixture.embed()
        assert fixture.stable.calls == []


async def test_without_stable_the_canary_has_all_the_time_and_is_not_rolled_back():
    async with scenario(weight=100) as fixture:
        fixture.stable.up = False
        fixture.stable.error = fixture.canary.error = EmbedderUnavailable("gone")
        for _ in range(50):
            fixture.now += 1
            with pytest.raises(EmbedderUnavailable):
                await fixture.embed()
        assert fixture.canary.timeouts[0] == 10.0
        assert fixture.rolled_back == []
        fixture.canary.error = DeadlineExceeded("late")
        with pytest.raises(DeadlineExceeded, match="late"):
            await fixture.embed()


@pytest.mark.parametrize("down", [True, False])
async def test_a_canary_that_fails_is_rolled_back_and_stays_so_until_an_operator_acts(down: bool):
    async with scenario(weight=50) as fixture:
        fixture.canary.up = not down
        fixture.canary.error = EmbedderUnavailable("gone")
        while not fixture.rolled_back:
            fixture.now += 1
            await fixture.embed()
            assert fixture.now < 30
        assert fixture.rolled_back == ["errors"]
        assert fixture.shares == [(50, 0), (0, 0)]
        state = fixture.shift.state()
        assert (state.canary_weight, state.evidence.canary.calls) == (0, 0)
        assert state.last_roll_back is not None
        assert (state.last_roll_back.reason, state.last_roll_back.canary_weight) == ("errors", 50)
        fixture.canary.up, fixture.canary.error = True, None
        before = len(fixture.canary.calls)
        await fixture.embed()
        assert len(fixture.canary.calls) == before
        fixture.shift.change(50)
        await fixture.embed()
        assert fixture.answered[-1] == "canary"


async def test_a_shadow_call_is_compared_and_no_caller_waits_for_it():
    async with scenario(shadow=100) as fixture:
        fixture.canary.hold()
        found = await fixture.embed(fingerprint=None)
        np.testing.assert_allclose(found.vectors, vectors_of(["one", "two"]), atol=1e-6)
        assert fixture.shadowed == []
        await fixture.canary.wait_calls(1)
        fixture.now += 0.5
        fixture.canary.release()
        await eventually(lambda: asyncio.sleep(0, fixture.shadowed), bool)
        assert fixture.shadowed == [("ok", "ok")]
        assert fixture.cosines == pytest.approx([1.0, 1.0])
        assert fixture.differences == [0.5]
        assert fixture.answered == ["stable"]
        fixture.canary.error = EmbedderBroken("nonsense")
        await fixture.embed()
        fixture.stable.error = EmbedderUnavailable("gone")
        with pytest.raises(EmbedderUnavailable):
            await fixture.embed()
        await eventually(lambda: asyncio.sleep(0, fixture.shadowed), lambda seen: len(seen) == 3)
        assert fixture.shadowed[1:] == [("ok", "EmbedderBroken"), ("EmbedderUnavailable", "EmbedderBroken")]


async def test_documents_are_not_shadowed_and_too_many_shadows_are_dropped():
    async with scenario(shadow=100) as fixture:
        await fixture.embed(priority="bulk")
        assert fixture.canary.calls == []
        fixture.canary.hold()
        for _ in range(20):
            await fixture.embed()
        await turns()
        assert len(fixture.canary.calls) == 8
        assert fixture.shadowed == [("ok", "dropped")] * 12
        fixture.canary.release()


async def test_a_canary_of_other_vectors_is_rolled_back_for_parity():
    async with scenario(weight=20, shadow=30) as fixture:
        fixture.canary.noise = 0.5
        while not fixture.rolled_back:
            fixture.now += 1
            fixture.draw = 0.2 if fixture.draw == 0.0 else 0.0  # canary and stable in turn
            await fixture.embed()
            await turns()
            assert fixture.now < 40
        assert fixture.rolled_back == ["parity"]
        assert fixture.shares[-1] == (0, 30)  # the comparison continues
        assert min(fixture.cosines) < 0.99


async def test_vectors_of_another_length_are_not_compared():
    async with scenario(shadow=100) as fixture:
        fixture.canary.dim = 4

        async def shorter(texts, **rest):
            return Embeddings(vectors_of(texts, 4), "m", "0" * 32)

        fixture.canary.embed = shorter
        await fixture.embed()
        await eventually(lambda: asyncio.sleep(0, fixture.shadowed), bool)
        assert (fixture.shadowed, fixture.cosines) == ([("ok", "ok")], [])


async def test_shares_are_checked_and_the_shadow_stays_if_not_given():
    async with scenario() as fixture:
        for weight, shadow, param in (
            (101, None, "canary_weight"),
            (-1, 5, "canary_weight"),
            (5, 101, "shadow_percent"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                fixture.shift.change(weight, shadow)
            assert (caught.value.param, caught.value.code) == (param, "limit_exceeded")
        fixture.shift.change(30, 20)
        fixture.shift.change(40)
        assert fixture.shares == [(0, 0), (30, 20), (40, 20)]


async def test_without_a_canary_all_is_stables():
    stable = FakePool("stable")
    shift = CanaryRouter(stable, None, settings=CanarySettings())
    found = await shift.embed(["x"], kind="query", priority="interactive", timeout=1.0, fingerprint=FINGERPRINT)
    assert found.fingerprint == FINGERPRINT
    assert shift.replicas == 1
    assert await shift.ready(timeout=1.0)
    shift.change(0)
    for shares in ((1, 0), (0, 1)):
        with pytest.raises(InvalidRequest, match="TANDEM_CANARY_URL"):
            shift.change(*shares)
    assert shift.state().canary is None


@pytest.mark.parametrize(
    ("weight", "stable", "canary", "ready"),
    [(0, False, True, False), (50, True, False, True), (100, False, True, True), (100, False, False, False)],
)
async def test_ready_are_those_that_get_the_traffic(weight: int, stable: bool, canary: bool, ready: bool):
    async with scenario(weight) as fixture:
        fixture.stable.unavailable, fixture.canary.unavailable = not stable, not canary
        assert await fixture.shift.ready(timeout=1.0) is ready


async def test_calls_in_flight_follow_the_replicas_that_share_them():
    async with scenario() as fixture:
        fixture.stable.replicas, fixture.canary.replicas = 4, 2
        assert fixture.shift.replicas == 4
        fixture.shift.change(100)
        assert fixture.shift.replicas == 2
        fixture.shift.change(50)
        assert fixture.shift.replicas == 4
        fixture.canary.up = False
        assert fixture.shift.replicas == 4


async def test_calls_for_a_model_that_only_the_canary_has_go_there_at_any_weight():
    fixture = RouterFixture(weight=0)
    fixture.canary.known = fixture.canary.fingerprint = "e" * 32
    embedded = await fixture.shift.embed(
        ["x"], kind="query", priority="interactive", timeout=5, fingerprint=fixture.canary.fingerprint
    )
    assert embedded.fingerprint == fixture.canary.fingerprint
    assert fixture.answered == ["canary"]
    await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint=FINGERPRINT)
    assert fixture.answered == ["canary", "stable"]
    assert fixture.fell_back == []


async def test_stable_does_not_stand_in_for_a_model_that_it_does_not_have():
    fixture = RouterFixture(weight=0)
    fixture.canary.known = fixture.canary.fingerprint = "e" * 32
    fixture.canary.error = EmbedderUnavailable("down")
    with pytest.raises(EmbedderUnavailable):
        await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint="e" * 32)
    assert fixture.stable.calls == []


async def test_a_canary_of_the_same_model_gets_no_calls_while_stable_is_down():
    fixture = RouterFixture(weight=0)
    fixture.stable.up = False
    await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint=FINGERPRINT)
    assert fixture.answered == ["stable"]


async def test_the_canary_keeps_its_own_model_while_stable_is_down():
    fixture = RouterFixture(weight=0)
    fixture.canary.known = fixture.canary.fingerprint = "e" * 32
    await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint=FINGERPRINT)
    fixture.stable.up = False
    await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint="e" * 32)
    assert fixture.answered == ["stable", "canary"]


@pytest.mark.parametrize("model", ["e" * 32, "d" * 32])
async def test_a_canary_whose_model_is_not_known_yet_is_asked_after_stable_answers_with_another(model: str):
    fixture = RouterFixture(weight=0)
    fixture.canary.unknown, fixture.canary.fingerprint = True, model
    found = await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint="e" * 32)
    assert found.fingerprint == (model if model == "e" * 32 else FINGERPRINT)
    assert len(fixture.canary.calls) == 1
    fixture.canary.unknown, fixture.canary.known = False, model
    if model != "e" * 32:  # nobody has the wanted model, and both are known by now
        await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint="e" * 32)
        assert len(fixture.canary.calls) == 1


async def test_a_canary_whose_model_is_not_known_and_that_fails_changes_nothing():
    fixture = RouterFixture(weight=0)
    fixture.canary.unknown, fixture.canary.error = True, EmbedderUnavailable("down")
    found = await fixture.shift.embed(["x"], kind="query", priority="interactive", timeout=5, fingerprint="e" * 32)
    assert found.fingerprint == FINGERPRINT
