"""The decision which queries share a call."""

import math
from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from tandem_gateway.use_cases.coalescing import CoalescingLimits, InFlight, decide
from tandem_gateway.use_cases.fair_turns import Waiting

NOW = 100.0


@dataclass(frozen=True)
class Situation:
    queue: list[Waiting[int]]
    in_flight: InFlight
    limits: CoalescingLimits


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    deadlines = draw(st.lists(st.one_of(st.just(NOW), st.floats(NOW - 5, NOW + 5)), max_size=30))
    arrivals = sorted(draw(st.lists(st.floats(NOW - 0.01, NOW), min_size=len(deadlines), max_size=len(deadlines))))
    calls = draw(st.integers(0, 6))
    return Situation(
        [Waiting(number, *times) for number, times in enumerate(zip(arrivals, deadlines, strict=True))],
        InFlight(calls, draw(st.integers(calls, 8 * calls))),
        CoalescingLimits(batch=draw(st.integers(1, 8)), calls=draw(st.integers(1, 4))),
    )


@given(situations())
def test_nothing_is_lost_doubled_or_reordered(situation: Situation):
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    alive = [waiting for waiting in situation.queue if waiting.deadline > NOW]
    assert decision.send + decision.rest == alive
    assert decision.expired == [waiting for waiting in situation.queue if waiting not in alive]


@given(situations())
def test_limits_are_never_exceeded(situation: Situation):
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    assert len(decision.send) <= situation.limits.batch
    if situation.in_flight.calls >= situation.limits.calls:
        assert decision.send == []


@given(situations())
def test_a_free_call_and_a_query_in_time_make_progress(situation: Situation):
    assume(situation.in_flight.calls < situation.limits.calls)
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    alive = decision.send + decision.rest
    assert bool(decision.send) == (bool(alive) and decision.look_again is None)
    if decision.look_again is not None:
        # It waits for more queries only while a call is in flight, and only briefly.
        assert situation.in_flight.calls > 0
        assert NOW < decision.look_again <= alive[0].arrival + situation.limits.linger
        later = decide(decision.rest, situation.in_flight, decision.look_again, situation.limits)
        assert later.send or later.expired


@given(situations())
def test_a_call_takes_exactly_its_share(situation: Situation):
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    everything = len(decision.send) + len(decision.rest) + situation.in_flight.queries
    if decision.send:
        share = math.ceil(everything / situation.limits.calls)
        assert len(decision.send) == min(share, situation.limits.batch, len(decision.send) + len(decision.rest))


@given(situations(), st.integers(1, 4))
def test_so_many_replicas_take_so_many_times_the_calls(situation: Situation, replicas: int):
    limits = CoalescingLimits(situation.limits.batch, situation.limits.calls * replicas, situation.limits.linger)
    scaled = decide(situation.queue, situation.in_flight, NOW, situation.limits, replicas)
    assert scaled == decide(situation.queue, situation.in_flight, NOW, limits)


def test_a_lone_query_leaves_at_once_and_the_first_of_many_waits_for_the_others():
    limits = CoalescingLimits(batch=32, calls=2, linger=0.001)
    lone = [Waiting("lone", NOW, NOW + 1)]
    assert decide(lone, InFlight(), NOW, limits).send == lone
    assert decide(lone, InFlight(1, 1), NOW, limits).send == lone
    assert decide(lone, InFlight(1, 8), NOW, limits).look_again == NOW + 0.001
    assert decide(lone, InFlight(1, 8), NOW + 0.001, limits).send == lone
    three = [Waiting(str(number), NOW, NOW + 1) for number in range(3)]
    assert decide(three, InFlight(1, 8), NOW, limits).send == three


@given(situations())
def test_an_expired_query_is_never_sent(situation: Situation):
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    assert all(waiting.deadline > NOW for waiting in decision.send + decision.rest)


@given(situations())
def test_deciding_again_and_again_empties_the_queue(situation: Situation):
    queue, sent = situation.queue, []
    for _ in range(len(situation.queue) + 1):
        decision = decide(queue, InFlight(), NOW, situation.limits)
        sent += decision.send
        queue = decision.rest
    assert queue == []
    assert sent == [waiting for waiting in situation.queue if waiting.deadline > NOW]
