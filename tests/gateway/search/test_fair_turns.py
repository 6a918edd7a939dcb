"""Fair shares of the embedder: the turns, the places in the queue, and a simulation of a noisy caller."""

import heapq
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.coalescing import CoalescingLimits, InFlight, decide
from tandem_gateway.use_cases.fair_turns import ACTIVE_SECONDS, Turns, Waiting, next_call, pushed_out

CALLERS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=60)


def queue_of(callers: list[str]) -> list[Waiting[int]]:
    turns = Turns()
    return [Waiting(number, 0.0, 1e9, who, turns.next(who, 0.0)) for number, who in enumerate(callers)]


@given(CALLERS, st.integers(1, 8))
def test_every_query_goes_out_once_and_in_order_within_its_caller(callers: list[str], size: int):
    queue, sent = queue_of(callers), []
    while queue:
        call = next_call(queue, size)
        assert 1 <= len(call) <= size
        sent += call
        queue = [waiting for waiting in queue if waiting not in call]
    assert sorted(waiting.query for waiting in sent) == list(range(len(callers)))
    for who in set(callers):
        numbers = [waiting.query for waiting in sent if waiting.caller == who]
        assert numbers == sorted(numbers)


@given(CALLERS, st.integers(1, 8))
def test_nobody_waits_for_more_than_a_round_of_calls_by_the_others(callers: list[str], size: int):
    """A caller's n-th query leaves before any other caller has sent n and two calls more."""
    queue, sent = queue_of(callers), Counter[str | None]()
    turns = {waiting.query: waiting.turn for waiting in queue}
    while queue:
        call = next_call(queue, size)
        sent.update(waiting.caller for waiting in call)
        queue = [waiting for waiting in queue if waiting not in call]
        for waiting in queue:
            others = max((count for who, count in sent.items() if who != waiting.caller), default=0)
            assert others <= turns[waiting.query] + 2 * size


@given(CALLERS)
def test_one_caller_keeps_the_order_of_arrival(callers: list[str]):
    turns = [Turns().next("a", 0.0) for _ in callers]
    assert turns == sorted(turns)
    queue = queue_of(["a"] * len(callers))
    assert [waiting.turn for waiting in queue] == sorted(waiting.turn for waiting in queue)


def test_a_caller_that_comes_later_gets_the_present_round():
    turns = Turns()
    queue = [Waiting(number, 0.0, 1e9, "heavy", turns.next("heavy", 0.0)) for number in range(100)]
    turns.sent(queue[:50])
    assert turns.next("light", 0.0) == 51


def test_a_caller_is_active_for_some_seconds_after_its_last_query():
    turns = Turns()
    assert turns.active(0.0) == 1
    turns.next("a", 0.0)
    assert turns.active(0.0) == 1
    turns.next("b", 1.0)
    assert turns.active(1.0) == 2
    turns.next("b", 4.0)
    assert turns.active(ACTIVE_SECONDS) == 1


def test_a_newcomer_takes_the_places_of_the_newest_queries_of_the_caller_with_too_many():
    queue = queue_of(["heavy"] * 8 + ["other"] * 2)
    assert [waiting.query for waiting in pushed_out(queue, "light", 2, 2, share=4)] == [7, 6]
    assert pushed_out(queue, "light", 5, 5, share=4) == []
    assert pushed_out(queue, "heavy", 1, 1, share=4) == []
    assert pushed_out(queue_of(["a", "b"]), "light", 1, 1, share=1) == []


@given(CALLERS, st.sampled_from(["a", "b", "z"]), st.integers(1, 10), st.integers(1, 20))
def test_nobody_within_its_share_loses_a_place(callers: list[str], who: str, wanted: int, share: int):
    queue = queue_of(callers)
    out = pushed_out(queue, who, wanted, wanted, share)
    assert len(out) in (0, wanted)
    held, lost = Counter(callers), Counter(waiting.caller for waiting in out)
    assert who not in lost
    assert all(held[caller] - count >= share for caller, count in lost.items() if caller is not None)


class Simulation:
    """Embedders that take ``fixed`` and ``each`` per query for a call, however many there are."""

    def __init__(self, limits: CoalescingLimits, fixed: float, each: float) -> None:
        self.limits = limits
        self.fixed = fixed
        self.each = each
        self.turns = Turns()
        self.queue: list[Waiting[int]] = []
        self.calls: dict[int, list[Waiting[int]]] = {}
        self.events: list[tuple[float, int, str, object]] = []
        self.number = 0
        self.latencies: dict[str, list[float]] = {}

    def at(self, time: float, kind: str, what: object) -> None:
        self.number += 1
        heapq.heappush(self.events, (time, self.number, kind, what))

    def run(self, heavy_clients: int, light_times: list[float], until: float) -> list[float]:
        """Return the latencies of the light caller."""
        for time in light_times:
            self.at(time, "arrival", "light")
        for _ in range(heavy_clients):
            self.at(0.0, "arrival", "heavy")
        while self.events:
            now, _, kind, what = heapq.heappop(self.events)
            if now > until:
                break
            if kind == "arrival":
                who = str(what)
                self.queue.append(Waiting(self.number, now, now + 1e9, who, self.turns.next(who, now)))
            elif kind == "return":
                for waiting in self.calls.pop(int(str(what))):
                    self.latencies.setdefault(str(waiting.caller), []).append(now - waiting.arrival)
                    if waiting.caller == "heavy":  # its client sends the next at once
                        self.at(now, "arrival", "heavy")
            self.send(now)
        return self.latencies["light"]

    def send(self, now: float) -> None:
        while self.queue:
            in_flight = InFlight(len(self.calls), sum(map(len, self.calls.values())))
            busy = None
            if self.turns.active(now) > 1:
                busy = Counter(who for call in self.calls.values() for who in {each.caller for each in call})
            decision = decide(self.queue, in_flight, now, self.limits, busy=busy)
            self.queue = decision.rest
            if not decision.send:
                if decision.look_again is not None:
                    self.at(decision.look_again, "look", None)
                return
            self.turns.sent(decision.send)
            self.number += 1
            self.calls[self.number] = decision.send
            self.at(now + self.fixed + self.each * len(decision.send), "return", self.number)


def p95(latencies: list[float]) -> float:
    return sorted(latencies)[math.ceil(0.95 * len(latencies)) - 1]


@pytest.mark.parametrize("calls", [2, 4])
@pytest.mark.parametrize("batch", [8, 32])
@pytest.mark.parametrize(("fixed", "each"), [(0.004, 0.0005), (0.002, 0.002), (0.010, 0.0001)])
@pytest.mark.parametrize("clients", [40, 150])
def test_a_noisy_caller_leaves_the_p95_of_another_within_one_and_a_half(
    calls: int, batch: int, fixed: float, each: float, clients: int
):
    times = [0.5 + 0.037 * number for number in range(60)]  # prime to the calls' times
    limits = CoalescingLimits(batch=batch, calls=calls)
    alone = Simulation(limits, fixed, each).run(0, times, 3.5)
    beside = Simulation(limits, fixed, each).run(clients, times, 3.5)
    assert len(beside) == len(alone) == len(times)
    assert p95(beside) <= 1.5 * p95(alone)
