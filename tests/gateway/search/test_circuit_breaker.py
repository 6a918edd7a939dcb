"""The breaker opens after consecutive failures, lets one search try again, and closes at a success."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tandem_gateway.use_cases.circuit_breaker import FAILURES, Breaker, failed, may_ask, pause, trying


def opened(now: float = 0.0) -> Breaker:
    state = Breaker()
    for _ in range(FAILURES):
        state = failed(state, now, trial=False)
    return state


def test_it_opens_after_failures_in_a_row_and_not_before():
    state = Breaker()
    for _ in range(FAILURES - 1):
        state = failed(state, 0.0, trial=False)
        assert may_ask(state, 0.0, ready=True)
        assert may_ask(state, 0.0, ready=False), "the probe alone does not open it"
    assert not may_ask(failed(state, 0.0, trial=False), 0.0, ready=True)


def test_after_a_pause_one_search_tries_unless_the_probe_has_failed():
    state = opened(10.0)
    at = 10.0 + pause(1)
    assert not may_ask(state, at - 0.01, ready=True)
    assert not may_ask(state, at, ready=False)
    assert may_ask(state, at, ready=True)
    state = trying(state, at)
    assert not may_ask(state, at, ready=True), "the others do not wait for its outcome"


def test_a_failed_try_makes_the_pause_longer_up_to_a_bound():
    state, now, pauses = opened(), 0.0, []
    for _ in range(10):
        assert state.try_at is not None
        pauses.append(state.try_at - now)
        now = state.try_at
        state = failed(trying(state, now), now, trial=True)
    assert pauses == sorted(pauses)
    assert pauses[1] == 2 * pauses[0]
    assert pauses[-1] == pauses[-2] == pause(100)


def test_searches_that_began_before_it_opened_say_nothing_new():
    state = opened()
    assert failed(state, 0.5, trial=False) == state


@given(number=st.integers(1, 10**9))
def test_a_pause_is_bounded(number: int):
    assert 0 < pause(number) <= pause(number + 1) <= 60


class Story(RuleBasedStateMachine):
    """Searches that fail and succeed at any time: the breaker closes again, and a healthy embedder gets calls."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now, self.in_a_row = Breaker(), 0.0, 0

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: may_ask(self.state, self.now, ready=True))
    @rule(ends=st.sampled_from(["failed", "succeeded", "gone"]))
    def search(self, ends: str) -> None:
        trial = self.state.try_at is not None
        if trial:
            self.state = trying(self.state, self.now)
        if ends == "failed":
            self.state = failed(self.state, self.now, trial=trial)
            self.in_a_row += 1
        elif ends == "succeeded":
            self.state, self.in_a_row = Breaker(), 0

    @rule()
    def late_failure(self) -> None:
        self.state = failed(self.state, self.now, trial=False)
        self.in_a_row += 1

    @invariant()
    def never_open_for_ever_nor_without_reason(self) -> None:
        assert may_ask(self.state, self.now + 61, ready=True)
        assert self.in_a_row >= FAILURES or may_ask(self.state, self.now, ready=True)


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
