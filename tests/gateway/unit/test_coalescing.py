"""The decision which queries go out together."""

from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from tandem_gateway.use_cases.coalescing import CoalescingLimits, Waiting, decide

NOW = 100.0


@dataclass(frozen=True)
class Situation:
    queue: list[Waiting[int]]
    in_flight: int
    limits: CoalescingLimits


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    deadlines = draw(st.lists(st.one_of(st.just(NOW), st.floats(NOW - 5, NOW + 5)), max_size=30))
    return Situation(
        [Waiting(number, deadline) for number, deadline in enumerate(deadlines)],
        draw(st.integers(0, 6)),
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
    if situation.in_flight >= situation.limits.calls:
        assert decision.send == []


@given(situations())
def test_a_free_call_and_a_query_in_time_make_progress(situation: Situation):
    assume(situation.in_flight < situation.limits.calls)
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    assert bool(decision.send) == any(waiting.deadline > NOW for waiting in situation.queue)
    # What stays stays for want of room only.
    assert not decision.rest or len(decision.send) == situation.limits.batch


@given(situations())
def test_what_is_out_of_time_is_never_sent(situation: Situation):
    decision = decide(situation.queue, situation.in_flight, NOW, situation.limits)
    assert all(waiting.deadline > NOW for waiting in decision.send + decision.rest)


@given(situations())
def test_deciding_again_and_again_empties_the_queue(situation: Situation):
    queue, sent = situation.queue, []
    for _ in range(len(situation.queue) + 1):
        decision = decide(queue, 0, NOW, situation.limits)
        sent += decision.send
        queue = decision.rest
    assert queue == []
    assert sent == [waiting for waiting in situation.queue if waiting.deadline > NOW]
