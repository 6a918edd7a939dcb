"""A pool of embedders, over connections that a test controls and a clock that it sets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.adapters.pool.replica import ProbeResult
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.embedders import Embeddings, ServedModel
from tests.support.fakes import FINGERPRINT, MODEL, eventually, turns, vectors_of

OTHER = "0" * 32
TEXTS = ["one", "two"]
A, B, C = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
URLS = {label: f"http://{label}" for label in (A, B, C)}


class ReplicaConnection:
    """Implements ``ReplicaConnection``: answers, or raises ``error`` if set; ``hold`` keeps calls until ``release``."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.error: Exception | None = None
        self.fingerprint = FINGERPRINT
        self.found: Probe = "ready"
        self.silent = False
        """Whether /readyz names no model."""
        self.timeouts: list[float] = []
        self.calls: list[list[str]] = []
        self.closed = False
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def embed(self, texts: Sequence[str], *, kind: Kind, priority: Priority, timeout: float) -> Embeddings:
        self.calls.append(list(texts))
        self.timeouts.append(timeout)
        await self._gate.wait()
        if self.error is not None:
            raise self.error
        return Embeddings(vectors_of(texts), MODEL, self.fingerprint)

    async def probe(self, *, timeout: float) -> ProbeResult:
        served = ServedModel(self.fingerprint, MODEL, 8, 256, "int8")
        return ProbeResult(self.found, served if self.found == "ready" and not self.silent else None)

    def close(self) -> None:
        self.closed = True


class PoolFixture:
    """A pool over such connections, and the events that it reported."""

    def __init__(self, *labels: str, names: dict[str, list[str]] | None = None) -> None:
        self.now = 1000.0
        self.channels: dict[str, ReplicaConnection] = {}
        self.names = names or {}
        self.resolver_error: OSError | None = None
        self.retried: list[str] = []
        self.ejected: list[str] = []
        self.left: list[str] = []
        self.unresolved = 0
        self.pool = EmbedderPool(
            "stable",
            [*(URLS[label] for label in labels), *(f"http://{name}:1" for name in self.names)],
            self._connect,
            settings=PoolSettings(attempt=2.0, resolve=0.01),
            events=PoolEvents(self.retried.append, self.ejected.append, self.left.append, self._unresolved),
            resolve=self._resolve,
            clock=lambda: self.now,
            draw=lambda: 0.0,
        )

    def _connect(self, address: Address) -> ReplicaConnection:
        return self.channels.setdefault(address.label, ReplicaConnection(address.label))

    def _unresolved(self) -> None:
        self.unresolved += 1

    async def _resolve(self, host: str, port: int) -> list[str]:
        if self.resolver_error is not None:
            raise self.resolver_error
        return self.names[host]

    async def embed(self, timeout: float = 10.0, priority: Priority = "interactive", **wish: str) -> Embeddings:
        return await self.pool.embed(TEXTS, kind="query", priority=priority, timeout=timeout, **wish)

    def statuses(self) -> dict[str, str]:
        return {replica.label: replica.status for replica in self.pool.state().replicas}


@asynccontextmanager
async def scenario(fixture: Callable[[], PoolFixture]) -> AsyncIterator[PoolFixture]:
    made = fixture()
    try:
        yield made
    finally:
        made.pool.close()


async def until(look: Callable[[], bool]) -> None:
    await eventually(lambda: asyncio.sleep(0, look()), bool)


async def test_calls_in_flight_are_spread_evenly_and_each_lane_by_itself():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.hold()
        queries = [asyncio.create_task(fixture.embed()) for _ in range(6)]
        await turns()
        documents = [asyncio.create_task(fixture.embed(priority="bulk")) for _ in range(4)]
        await turns()
        assert [len(channel.calls) for channel in fixture.channels.values()] == [5, 5]
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [5, 5]
        for channel in fixture.channels.values():
            channel.release()
        await asyncio.gather(*queries, *documents)
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [0, 0]


@pytest.mark.parametrize(
    "error",
    [
        EmbedderUnavailable("refused"),
        EmbedderBroken("nonsense"),
        Overloaded("full"),
        DeadlineExceeded("late"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_of_one_replica_is_retried_once_at_another(error: Exception):
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = error
        assert (await fixture.embed()).model == MODEL
        assert fixture.retried == [type(error).__name__]
        assert [len(fixture.channels[label].calls) for label in (A, B)] == [1, 1]
        assert fixture.ejected == (["unavailable"] if isinstance(error, EmbedderUnavailable) else [])
        fixture.channels[B].error = error
        with pytest.raises(type(error)):
            await fixture.embed()
        assert sum(len(channel.calls) for channel in fixture.channels.values()) == 4


async def test_texts_that_one_refuses_are_not_sent_to_another():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = EmbedderRejected("too long")
        with pytest.raises(EmbedderRejected):
            await fixture.embed()
        assert fixture.channels[B].calls == []


async def test_the_first_try_gets_a_part_of_the_time_while_another_serves():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.embed(timeout=10.0)
        await fixture.embed(timeout=1.0)
        await fixture.embed(timeout=60.0, priority="bulk")
        assert fixture.channels[A].timeouts == [2.0, 0.5, 30.0]
        fixture.channels[B].error = EmbedderUnavailable("refused")
        fixture.channels[A].error = EmbedderUnavailable("refused")
        with pytest.raises(EmbedderUnavailable):
            await fixture.embed(timeout=10.0)
        assert fixture.channels[B].timeouts == [10.0]


async def test_a_lone_replica_gets_all_of_the_time_and_is_asked_even_when_ejected():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        channel = fixture.channels[A]
        channel.error = EmbedderUnavailable("refused")
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable):
                await fixture.embed(timeout=9.0)
        assert fixture.statuses() == {A: "ejected"}
        assert (fixture.ejected, fixture.retried, fixture.pool.replicas) == (["unavailable"], [], 1)
        channel.error = None
        fixture.now += 0.1
        assert (await fixture.embed(timeout=9.0)).model == MODEL
        assert fixture.statuses() == {A: "serving"}
        assert channel.timeouts == [9.0] * 4


async def test_an_ejected_replica_is_asked_again_once_a_probe_says_that_it_is_ready():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = EmbedderUnavailable("refused")
        await fixture.embed()
        assert (fixture.statuses(), fixture.pool.replicas) == ({A: "ejected", B: "serving"}, 1)
        for _ in range(5):
            await fixture.embed()
        assert len(fixture.channels[A].calls) == 1
        fixture.channels[A].found = "not_ready"
        fixture.now += 100
        assert await fixture.pool.ready(timeout=1.0)
        assert fixture.statuses()[A] == "ejected"
        fixture.channels[A].error, fixture.channels[A].found = None, "ready"
        assert await fixture.pool.ready(timeout=1.0)
        assert (fixture.statuses()[A], fixture.pool.replicas) == ("serving", 2)


async def test_lateness_ejects_after_three_in_a_row_but_not_for_callers_in_a_hurry():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].error = DeadlineExceeded("late")
        for _ in range(4):
            await fixture.embed(timeout=0.5)
        assert fixture.ejected == []
        for _ in range(3):
            await fixture.embed(timeout=10.0)
        assert fixture.ejected == ["late"]


async def test_retries_stop_when_the_budget_is_spent():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.error = Overloaded("full")
        for _ in range(300):
            with pytest.raises(Overloaded):
                await fixture.embed()
        calls = sum(len(channel.calls) for channel in fixture.channels.values())
        assert calls <= 300 + 100 + 0.2 * 300 + 1
        assert len(fixture.retried) == calls - 300


async def test_a_call_for_a_model_goes_to_a_replica_known_to_have_it():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].fingerprint = OTHER
        assert await fixture.pool.ready(timeout=1.0)  # learns the models of both replicas
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER), fixture.pool.serves("?")) == (
            True,
            True,
            False,
        )
        for _ in range(5):
            assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
            assert (await fixture.embed(fingerprint=OTHER)).fingerprint == OTHER
        assert fixture.retried == []
        # One replica's model changes unnoticed: its next answer shows it, and the pool calls the other replica.
        fixture.channels[A].fingerprint, fixture.channels[B].fingerprint = FINGERPRINT, OTHER
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == OTHER
        assert (await fixture.embed(fingerprint=OTHER)).fingerprint == OTHER
        fixture.now += 11
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (False, False)
        await fixture.pool.ready(timeout=1.0)
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT


async def test_a_probe_learns_the_model_without_a_call(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with scenario(lambda: PoolFixture(A)) as fixture:
        (replica,) = fixture.pool.state().replicas
        assert (replica.served, replica.fingerprint) == (None, None)
        for _ in range(3):
            assert await fixture.pool.ready(timeout=1.0)
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(FINGERPRINT, MODEL, 8, 256, "int8")
        assert fixture.pool.serves(FINGERPRINT)
        assert fixture.channels[A].calls == []
        assert caplog.messages.count("the embedder's model") == 1
        fixture.channels[A].fingerprint = OTHER
        await fixture.embed()
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(OTHER, MODEL, 8)
        await fixture.pool.ready(timeout=1.0)
        (replica,) = fixture.pool.state().replicas
        assert replica.served == ServedModel(OTHER, MODEL, 8, 256, "int8")
        assert caplog.messages.count("the embedder's model") == 2


async def test_an_unready_replica_has_no_model():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.pool.ready(timeout=1.0)
        fixture.channels[A].found = "not_ready"
        await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [None, FINGERPRINT]


async def test_the_model_of_an_older_embedder_is_learnt_from_its_first_reply():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        for channel in fixture.channels.values():
            channel.silent = True
        assert await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [None, None]
        # Any model may be the right one until a reply shows which it is. No text is embedded only to find out.
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (True, True)
        assert [channel.calls for channel in fixture.channels.values()] == [[], []]
        fixture.channels[A].fingerprint = fixture.channels[B].fingerprint = OTHER
        fixture.channels[A].hold()
        waiting = asyncio.create_task(fixture.embed())
        await turns()
        await fixture.embed()
        fixture.channels[A].release()
        await waiting
        assert (fixture.pool.serves(FINGERPRINT), fixture.pool.serves(OTHER)) == (False, True)
        await fixture.pool.ready(timeout=1.0)
        assert [replica.fingerprint for replica in fixture.pool.state().replicas] == [OTHER, OTHER]
        fixture.now += 11
        assert fixture.pool.serves(FINGERPRINT), "another embedder may run at the address"


async def test_an_answer_of_another_model_is_looked_for_once_more_elsewhere():
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        await fixture.pool.ready(timeout=1.0)
        fixture.channels[A].fingerprint = OTHER
        assert (await fixture.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
        assert fixture.retried == ["fingerprint"]


async def test_replicas_follow_their_name_and_one_that_left_ends_its_calls():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        following = asyncio.create_task(fixture.pool.follow_names())
        assert (await fixture.embed()).model == MODEL  # waits for the resolver's first answer
        assert fixture.statuses() == {A: "serving"}
        fixture.channels[A].hold()
        in_flight = asyncio.create_task(fixture.embed())
        await turns()
        fixture.names["embedders"] = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: fixture.statuses() == {A: "draining", B: "serving", C: "serving"})
        assert fixture.pool.replicas == 2
        for _ in range(4):
            await fixture.embed()
        assert len(fixture.channels[A].calls) == 2
        assert not fixture.channels[A].closed
        fixture.channels[A].release()
        assert (await in_flight).model == MODEL
        assert (fixture.channels[A].closed, fixture.left) == (True, [A])
        assert fixture.statuses() == {B: "serving", C: "serving"}
        following.cancel()


async def test_a_pool_is_ready_as_soon_as_its_name_is_resolved():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        asked = asyncio.create_task(fixture.pool.ready(timeout=10.0))
        await turns()
        following = asyncio.create_task(fixture.pool.follow_names())
        assert await asked
        following.cancel()


@pytest.mark.parametrize("found", ["not_ready", "unreachable"])
async def test_a_probe_ejects_an_unready_replica_without_a_call(found: Probe):
    async with scenario(lambda: PoolFixture(A, B)) as fixture:
        fixture.channels[A].found = found
        assert await fixture.pool.ready(timeout=1.0)
        assert (fixture.statuses(), fixture.ejected) == ({A: "ejected", B: "serving"}, ["unavailable"])
        fixture.channels[B].found = found
        assert not await fixture.pool.ready(timeout=1.0)
        assert not fixture.pool.up


async def test_without_an_answer_of_the_resolver_the_addresses_known_last_are_kept():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        following = asyncio.create_task(fixture.pool.follow_names())
        await fixture.embed()
        fixture.resolver_error = OSError("Name or service not known")
        await until(lambda: fixture.unresolved >= 3)
        assert fixture.statuses() == {A: "serving"}
        assert (await fixture.embed()).model == MODEL
        following.cancel()


async def test_a_name_without_an_address_is_unavailable_with_the_reason():
    async with scenario(lambda: PoolFixture(names={"embedders": ["10.0.0.1"]})) as fixture:
        fixture.resolver_error = OSError("Name or service not known")
        following = asyncio.create_task(fixture.pool.follow_names())
        with pytest.raises(EmbedderUnavailable, match="embedders: Name or service not known"):
            await fixture.embed()
        assert not await fixture.pool.ready(timeout=1.0)
        fixture.resolver_error = None
        await until(lambda: bool(fixture.statuses()))
        assert (await fixture.embed()).model == MODEL
        following.cancel()


async def test_a_hanging_resolver_is_called_once_and_delays_no_call_beyond_its_deadline():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        asked = 0

        async def hang(host: str, port: int) -> list[str]:
            nonlocal asked
            asked += 1
            await asyncio.Event().wait()
            return []

        pool = EmbedderPool(
            "stable",
            ["http://name:1"],
            fixture._connect,
            settings=PoolSettings(resolve=0.01),
            events=PoolEvents(unresolved=fixture._unresolved),
            resolve=hang,
        )
        with pytest.raises(DeadlineExceeded):
            await pool.embed(TEXTS, kind="query", priority="interactive", timeout=0.001)
        following = asyncio.create_task(pool.follow_names())
        await until(lambda: fixture.unresolved >= 3)
        assert asked == 1
        following.cancel()
        pool.close()


async def test_a_caller_that_gives_up_leaves_no_call_in_flight():
    async with scenario(lambda: PoolFixture(A)) as fixture:
        fixture.channels[A].hold()
        abandoned = asyncio.create_task(fixture.embed())
        await turns()
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        assert [replica.in_flight for replica in fixture.pool.state().replicas] == [0]
        assert fixture.statuses() == {A: "serving"}
