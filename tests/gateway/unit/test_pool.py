"""A pool of embedders at work, over channels that a test commands and a clock that it sets."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tandem_contract.embed import Kind, Priority
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.health import Probe
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    Overloaded,
)
from tandem_gateway.records.embedders import Embeddings
from tests.support.fakes import FINGERPRINT, MODEL, eventually, run, turns, vectors_of

OTHER = "0" * 32
TEXTS = ["one", "two"]
A, B, C = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
URLS = {label: f"http://{label}" for label in (A, B, C)}


class ReplicaConnection:
    """Implements ``ReplicaConnection``: answers, unless ``error`` is set; ``hold`` keeps calls until ``release``."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.error: Exception | None = None
        self.fingerprint = FINGERPRINT
        self.found: Probe = "ready"
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

    async def probe(self, *, timeout: float) -> Probe:
        return self.found

    def close(self) -> None:
        self.closed = True


class Scene:
    """A pool over such channels, with what it reported."""

    def __init__(self, *labels: str, names: dict[str, list[str]] | None = None, identify: bool = False) -> None:
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
            settings=PoolSettings(attempt=2.0, resolve=0.01, identify=identify),
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


def scenario(scene: Callable[[], Scene], test: Callable[[Scene], Awaitable[None]]) -> None:
    async def inside() -> None:
        made = scene()
        try:
            await test(made)
        finally:
            made.pool.close()

    run(inside)


async def until(look: Callable[[], bool]) -> None:
    await eventually(lambda: asyncio.sleep(0, look()), bool)


def test_calls_in_flight_are_spread_evenly_and_each_lane_by_itself():
    async def test(scene: Scene) -> None:
        for channel in scene.channels.values():
            channel.hold()
        queries = [asyncio.create_task(scene.embed()) for _ in range(6)]
        await turns()
        documents = [asyncio.create_task(scene.embed(priority="bulk")) for _ in range(4)]
        await turns()
        assert [len(channel.calls) for channel in scene.channels.values()] == [5, 5]
        assert [replica.in_flight for replica in scene.pool.state().replicas] == [5, 5]
        for channel in scene.channels.values():
            channel.release()
        await asyncio.gather(*queries, *documents)
        assert [replica.in_flight for replica in scene.pool.state().replicas] == [0, 0]

    scenario(lambda: Scene(A, B), test)


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
def test_what_may_be_one_replicas_fault_is_tried_once_at_another(error: Exception):
    async def test(scene: Scene) -> None:
        scene.channels[A].error = error
        assert (await scene.embed()).model == MODEL
        assert scene.retried == [type(error).__name__]
        assert [len(scene.channels[label].calls) for label in (A, B)] == [1, 1]
        assert scene.ejected == (["unavailable"] if isinstance(error, EmbedderUnavailable) else [])
        scene.channels[B].error = error
        with pytest.raises(type(error)):
            await scene.embed()
        assert sum(len(channel.calls) for channel in scene.channels.values()) == 4

    scenario(lambda: Scene(A, B), test)


def test_texts_that_one_refuses_are_not_sent_to_another():
    async def test(scene: Scene) -> None:
        scene.channels[A].error = EmbedderRejected("too long")
        with pytest.raises(EmbedderRejected):
            await scene.embed()
        assert scene.channels[B].calls == []

    scenario(lambda: Scene(A, B), test)


def test_the_first_try_gets_a_part_of_the_time_while_another_serves():
    async def test(scene: Scene) -> None:
        await scene.embed(timeout=10.0)
        await scene.embed(timeout=1.0)
        await scene.embed(timeout=60.0, priority="bulk")
        assert scene.channels[A].timeouts == [2.0, 0.5, 30.0]
        scene.channels[B].error = EmbedderUnavailable("refused")
        scene.channels[A].error = EmbedderUnavailable("refused")
        with pytest.raises(EmbedderUnavailable):
            await scene.embed(timeout=10.0)
        assert scene.channels[B].timeouts == [10.0]

    scenario(lambda: Scene(A, B), test)


def test_a_lone_replica_gets_all_of_the_time_and_is_asked_even_when_ejected():
    async def test(scene: Scene) -> None:
        channel = scene.channels[A]
        channel.error = EmbedderUnavailable("refused")
        for _ in range(3):
            with pytest.raises(EmbedderUnavailable):
                await scene.embed(timeout=9.0)
        assert scene.statuses() == {A: "ejected"}
        assert (scene.ejected, scene.retried, scene.pool.replicas) == (["unavailable"], [], 1)
        channel.error = None
        scene.now += 0.1
        assert (await scene.embed(timeout=9.0)).model == MODEL
        assert scene.statuses() == {A: "serving"}
        assert channel.timeouts == [9.0] * 4

    scenario(lambda: Scene(A), test)


def test_an_ejected_replica_is_asked_again_once_a_probe_says_that_it_is_ready():
    async def test(scene: Scene) -> None:
        scene.channels[A].error = EmbedderUnavailable("refused")
        await scene.embed()
        assert (scene.statuses(), scene.pool.replicas) == ({A: "ejected", B: "serving"}, 1)
        for _ in range(5):
            await scene.embed()
        assert len(scene.channels[A].calls) == 1
        scene.channels[A].found = "not_ready"
        scene.now += 100
        assert await scene.pool.ready(timeout=1.0)
        assert scene.statuses()[A] == "ejected"
        scene.channels[A].error, scene.channels[A].found = None, "ready"
        assert await scene.pool.ready(timeout=1.0)
        assert (scene.statuses()[A], scene.pool.replicas) == ("serving", 2)

    scenario(lambda: Scene(A, B), test)


def test_lateness_ejects_after_three_in_a_row_but_not_for_callers_in_a_hurry():
    async def test(scene: Scene) -> None:
        scene.channels[A].error = DeadlineExceeded("late")
        for _ in range(4):
            await scene.embed(timeout=0.5)
        assert scene.ejected == []
        for _ in range(3):
            await scene.embed(timeout=10.0)
        assert scene.ejected == ["late"]

    scenario(lambda: Scene(A, B), test)


def test_retries_stop_when_the_budget_is_spent():
    async def test(scene: Scene) -> None:
        for channel in scene.channels.values():
            channel.error = Overloaded("full")
        for _ in range(300):
            with pytest.raises(Overloaded):
                await scene.embed()
        calls = sum(len(channel.calls) for channel in scene.channels.values())
        assert calls <= 300 + 100 + 0.2 * 300 + 1
        assert len(scene.retried) == calls - 300

    scenario(lambda: Scene(A, B), test)


def test_a_wanted_model_is_looked_for_where_it_is_known_to_be():
    async def test(scene: Scene) -> None:
        scene.channels[A].fingerprint = OTHER
        assert await scene.pool.ready(timeout=1.0)  # asks both for their models
        assert (scene.pool.serves(FINGERPRINT), scene.pool.serves(OTHER), scene.pool.serves("?")) == (True, True, False)
        for _ in range(5):
            assert (await scene.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
            assert (await scene.embed(fingerprint=OTHER)).fingerprint == OTHER
        assert scene.retried == []
        # Its model changes behind its back: the answer tells, and the other one is asked.
        scene.channels[A].fingerprint, scene.channels[B].fingerprint = FINGERPRINT, OTHER
        assert (await scene.embed(fingerprint=FINGERPRINT)).fingerprint == OTHER
        assert (await scene.embed(fingerprint=OTHER)).fingerprint == OTHER
        scene.now += 11
        assert (scene.pool.serves(FINGERPRINT), scene.pool.serves(OTHER)) == (False, False)
        await scene.pool.ready(timeout=1.0)
        assert (await scene.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT

    scenario(lambda: Scene(A, B), test)


def test_an_answer_of_another_model_is_looked_for_once_more_elsewhere():
    async def test(scene: Scene) -> None:
        await scene.pool.ready(timeout=1.0)
        scene.channels[A].fingerprint = OTHER
        assert (await scene.embed(fingerprint=FINGERPRINT)).fingerprint == FINGERPRINT
        assert scene.retried == ["fingerprint"]

    scenario(lambda: Scene(A, B), test)


def test_replicas_follow_their_name_and_one_that_left_ends_its_calls():
    async def test(scene: Scene) -> None:
        following = asyncio.create_task(scene.pool.follow_names())
        assert (await scene.embed()).model == MODEL  # waits for the first answer of the resolver
        assert scene.statuses() == {A: "serving"}
        scene.channels[A].hold()
        in_flight = asyncio.create_task(scene.embed())
        await turns()
        scene.names["embedders"] = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: scene.statuses() == {A: "draining", B: "serving", C: "serving"})
        assert scene.pool.replicas == 2
        for _ in range(4):
            await scene.embed()
        assert len(scene.channels[A].calls) == 2
        assert not scene.channels[A].closed
        scene.channels[A].release()
        assert (await in_flight).model == MODEL
        assert (scene.channels[A].closed, scene.left) == (True, [A])
        assert scene.statuses() == {B: "serving", C: "serving"}
        following.cancel()

    scenario(lambda: Scene(names={"embedders": ["10.0.0.1"]}), test)


def test_a_pool_is_ready_as_soon_as_its_name_is_resolved():
    async def test(scene: Scene) -> None:
        asked = asyncio.create_task(scene.pool.ready(timeout=10.0))
        await turns()
        following = asyncio.create_task(scene.pool.follow_names())
        assert await asked
        following.cancel()

    scenario(lambda: Scene(names={"embedders": ["10.0.0.1"]}), test)


@pytest.mark.parametrize("found", ["not_ready", "unreachable"])
def test_a_probe_ejects_who_is_not_ready_without_a_call(found: Probe):
    async def test(scene: Scene) -> None:
        scene.channels[A].found = found
        assert await scene.pool.ready(timeout=1.0)
        assert (scene.statuses(), scene.ejected) == ({A: "ejected", B: "serving"}, ["unavailable"])
        scene.channels[B].found = found
        assert not await scene.pool.ready(timeout=1.0)
        assert not scene.pool.up

    scenario(lambda: Scene(A, B), test)


def test_without_an_answer_of_the_resolver_the_addresses_known_last_are_kept():
    async def test(scene: Scene) -> None:
        following = asyncio.create_task(scene.pool.follow_names())
        await scene.embed()
        scene.resolver_error = OSError("Name or service not known")
        await until(lambda: scene.unresolved >= 3)
        assert scene.statuses() == {A: "serving"}
        assert (await scene.embed()).model == MODEL
        following.cancel()

    scenario(lambda: Scene(names={"embedders": ["10.0.0.1"]}), test)


def test_a_name_without_any_address_is_unavailable_and_says_why():
    async def test(scene: Scene) -> None:
        scene.resolver_error = OSError("Name or service not known")
        following = asyncio.create_task(scene.pool.follow_names())
        with pytest.raises(EmbedderUnavailable, match="embedders: Name or service not known"):
            await scene.embed()
        assert not await scene.pool.ready(timeout=1.0)
        scene.resolver_error = None
        await until(lambda: bool(scene.statuses()))
        assert (await scene.embed()).model == MODEL
        following.cancel()

    scenario(lambda: Scene(names={"embedders": ["10.0.0.1"]}), test)


def test_a_resolver_that_hangs_is_asked_once_and_keeps_no_call_beyond_its_time():
    async def test(scene: Scene) -> None:
        asked = 0

        async def hang(host: str, port: int) -> list[str]:
            nonlocal asked
            asked += 1
            await asyncio.Event().wait()
            return []

        pool = EmbedderPool(
            "stable",
            ["http://name:1"],
            scene._connect,
            settings=PoolSettings(resolve=0.01),
            events=PoolEvents(unresolved=scene._unresolved),
            resolve=hang,
        )
        with pytest.raises(DeadlineExceeded):
            await pool.embed(TEXTS, kind="query", priority="interactive", timeout=0.001)
        following = asyncio.create_task(pool.follow_names())
        await until(lambda: scene.unresolved >= 3)
        assert asked == 1
        following.cancel()
        pool.close()

    scenario(lambda: Scene(A), test)


def test_who_gives_up_leaves_nothing_in_flight():
    async def test(scene: Scene) -> None:
        scene.channels[A].hold()
        abandoned = asyncio.create_task(scene.embed())
        await turns()
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        assert [replica.in_flight for replica in scene.pool.state().replicas] == [0]
        assert scene.statuses() == {A: "serving"}

    scenario(lambda: Scene(A), test)
