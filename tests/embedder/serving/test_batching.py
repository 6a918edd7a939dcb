"""The batching rules: examples, and properties over any queue."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tandem_embedder.batching.batch_queue import BatchLimits, BatchQueue, Decision, Entry
from tandem_embedder.batching.lanes import LANES, Lane

LIMITS = BatchLimits(max_tokens=512, max_bulk_tokens=256)


def queue_of(*lengths: int, lane: Lane = "interactive", limits: BatchLimits = LIMITS) -> BatchQueue[None]:
    queue: BatchQueue[None] = BatchQueue(limits)
    for index, tokens in enumerate(lengths):
        queue.add(Entry(index, tokens, lane, arrival=0.0, deadline=100.0, payload=None))
    return queue


def add(queue: BatchQueue[None], entry_id: int, tokens: int, lane: Lane, deadline: float = 100.0) -> None:
    queue.add(Entry(entry_id, tokens, lane, arrival=0.0, deadline=deadline, payload=None))


def take(queue: BatchQueue[None], now: float) -> Decision[None]:
    """Take a bulk batch if one may start, else an interactive one: the order in which bulk runs soonest."""
    bulk = queue.take(now, "bulk")
    if bulk.batch is not None:
        return bulk
    interactive = queue.take(now, "interactive")
    return Decision(interactive.batch, bulk.expired + interactive.expired)


def taken_ids(queue: BatchQueue[None], now: float = 1.0) -> list[int]:
    batch = take(queue, now).batch
    return [] if batch is None else [entry.id for entry in batch.entries]


def test_an_empty_queue_gives_no_batch():
    decision = take(queue_of(), 0.0)
    assert decision.batch is None
    assert decision.expired == []


def test_equal_lengths_fill_the_budget_in_order_of_arrival():
    assert taken_ids(queue_of(*[64] * 10)) == list(range(8))


def test_the_batch_is_built_around_the_oldest_text():
    assert taken_ids(queue_of(100, 8, 8, 8)) == [0]


def test_nearest_lengths_come_first():
    limits = BatchLimits(max_tokens=30, max_bulk_tokens=30)
    assert taken_ids(queue_of(10, 5, 9, 10, limits=limits)) == [0, 3, 2]


def test_padding_is_not_filled_up_with_short_texts():
    assert taken_ids(queue_of(100, 92, 90, 10)) == [0, 1]


def test_short_texts_go_together_where_a_run_of_their_own_costs_more_than_padding():
    assert taken_ids(queue_of(12, 4, 3, 20)) == [0, 1]
    assert taken_ids(queue_of(4, 12)) == [0, 1]


def test_a_longer_text_that_pads_many_others_waits():
    assert taken_ids(queue_of(10, 10, 10, 14)) == [0, 1, 2]


def test_long_texts_may_differ_by_a_part_of_their_length():
    assert taken_ids(queue_of(240, 220)) == [0, 1]


def test_a_text_longer_than_the_budget_goes_alone():
    assert taken_ids(queue_of(600, 600)) == [0]


def test_interactive_goes_before_older_bulk():
    queue = queue_of(10, lane="bulk")
    add(queue, 7, 10, "interactive")
    assert taken_ids(queue) == [7]
    assert taken_ids(queue) == [0]


def test_bulk_waits_while_queries_do_and_no_longer():
    queue = queue_of(10, lane="bulk")
    add(queue, 7, 10, "interactive")
    assert queue.take(1.0, "bulk").batch is None
    assert queue.take(1.0, "interactive").batch is not None
    assert queue.take(1.0, "interactive").batch is None
    assert queue.take(1.0, "bulk").batch is not None


def test_lanes_are_not_mixed_in_a_batch():
    queue = queue_of(10)
    add(queue, 7, 10, "bulk")
    assert taken_ids(queue) == [0]


def test_a_text_is_expired_at_its_deadline_and_not_before():
    queue = queue_of(10)
    add(queue, 7, 10, "interactive", deadline=5.0)
    decision = take(queue, 5.0)
    assert [entry.id for entry in decision.expired] == [7]
    assert decision.batch is not None
    assert [entry.id for entry in decision.batch.entries] == [0]


def test_a_discarded_text_leaves_the_queue():
    queue = queue_of(10, 10)
    assert queue.discard(0) is not None
    assert queue.discard(0) is None
    assert taken_ids(queue) == [1]


def test_an_id_cannot_be_queued_twice():
    queue = queue_of(10)
    with pytest.raises(ValueError, match="queued already"):
        add(queue, 0, 10, "interactive")


@pytest.mark.parametrize(
    "wrong",
    [{"max_bulk_tokens": 0}, {"max_bulk_tokens": 513}, {"padding_share": 1.0}, {"bulk_share": 1.0}, {"run_tokens": -1}],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="must"):
        BatchLimits(**wrong)  # type: ignore[arg-type]


texts = st.lists(st.tuples(st.integers(1, 300), st.sampled_from(LANES), st.floats(0, 20)), max_size=60)
limits = st.builds(
    lambda bulk, more, run, padding, share: BatchLimits(bulk + more, bulk, run, padding, share),
    st.integers(1, 600),
    st.integers(0, 600),
    st.integers(0, 40),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
)


@given(texts, limits, st.floats(0, 20))
def test_every_text_is_served_or_expired_once_and_every_batch_keeps_the_rules(queued, limits: BatchLimits, now: float):
    queue: BatchQueue[None] = BatchQueue(limits)
    for index, (tokens, lane, deadline) in enumerate(queued):
        add(queue, index, tokens, lane, deadline)
    seen: list[int] = []
    while len(queue):
        before = len(queue)
        oldest = {lane: min(_alive(queued, seen, lane, now), default=None) for lane in LANES}
        decision = take(queue, now)
        assert len(queue) < before  # every non-empty queue makes progress
        seen += [entry.id for entry in decision.expired]
        assert all(entry.deadline <= now for entry in decision.expired)
        if decision.batch is None:
            continue
        batch = decision.batch
        seen += [entry.id for entry in batch.entries]
        assert all(entry.deadline > now and entry.lane == batch.lane for entry in batch.entries)
        assert batch.cost <= limits.budget(batch.lane) or len(batch.entries) == 1
        allowed = [limits.padding(entry.tokens) for entry in batch.entries[1:]]
        assert batch.cost - batch.tokens <= sum(allowed) + 1e-9
        assert batch.entries[0].id == oldest[batch.lane]  # the oldest text is never left behind
    assert sorted(seen) == list(range(len(queued)))


def _alive(queued, seen: list[int], lane: Lane, now: float) -> list[int]:
    return [
        index
        for index, (_, of, deadline) in enumerate(queued)
        if of == lane and deadline > now and index not in set(seen)
    ]


@given(
    st.lists(st.integers(1, 200), min_size=60, max_size=120),
    st.lists(st.integers(1, 200), min_size=10, max_size=30),
    st.floats(0.05, 0.8),
)
def test_bulk_gets_its_share_under_a_flood_of_queries(interactive: list[int], bulk: list[int], share: float):
    limits = BatchLimits(max_tokens=512, max_bulk_tokens=256, bulk_share=share)
    queue: BatchQueue[None] = BatchQueue(limits)
    for index, tokens in enumerate(interactive):
        add(queue, index, tokens, "interactive")
    for index, tokens in enumerate(bulk):
        add(queue, 1000 + index, tokens, "bulk")
    since_bulk = 0
    while queue.waiting("interactive") and queue.waiting("bulk"):
        batch = take(queue, 1.0).batch
        assert batch is not None
        if batch.lane == "bulk":
            since_bulk = 0
        else:
            since_bulk += batch.cost
            # Interactive batches earn the cost of one bulk batch at the given share; the last of them may overshoot.
            assert since_bulk <= limits.max_bulk_tokens * (1 - share) / share + limits.max_tokens


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.lists(st.integers(1, 200), min_size=1, max_size=60))
def test_the_share_that_a_flood_earned_for_bulk_is_not_spent_at_once(interactive: list[int], bulk: list[int]):
    queue: BatchQueue[None] = BatchQueue(BatchLimits(bulk_share=0.3))
    for index, tokens in enumerate(interactive):
        add(queue, index, tokens, "interactive")
    for index, tokens in enumerate(bulk):
        add(queue, 1000 + index, tokens, "bulk")
    before: Lane = "interactive"
    while queue.waiting("interactive"):
        batch = take(queue, 1.0).batch
        assert batch is not None
        assert (before, batch.lane) != ("bulk", "bulk")
        before = batch.lane


def test_a_share_of_zero_always_lets_queries_go_first():
    queue = queue_of(*[512] * 20, limits=BatchLimits(bulk_share=0.0))
    add(queue, 1000, 10, "bulk")
    lanes = [take(queue, 1.0).batch.lane for _ in range(21)]  # type: ignore[union-attr]
    assert lanes == ["interactive"] * 20 + ["bulk"]


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with a plain dict of its expected content, over any order of additions, discards and takes."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: BatchQueue[str] = BatchQueue(BatchLimits(max_tokens=64, max_bulk_tokens=32))
        self.model: dict[int, Entry[str]] = {}
        self.next_id = 0
        self.now = 0.0

    @rule(tokens=st.integers(1, 80), lane=st.sampled_from(LANES), patience=st.floats(0.1, 10))
    def add(self, tokens: int, lane: Lane, patience: float) -> None:
        entry = Entry(self.next_id, tokens, lane, self.now, self.now + patience, payload=str(self.next_id))
        self.next_id += 1
        self.model[entry.id] = entry
        self.queue.add(entry)

    @rule(entry_id=st.integers(0, 60))
    def discard(self, entry_id: int) -> None:
        assert self.queue.discard(entry_id) is self.model.pop(entry_id, None)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(lane=st.sampled_from(LANES))
    def take(self, lane: Lane) -> None:
        decision = self.queue.take(self.now, lane)
        assert {entry.id for entry in decision.expired} == {
            entry.id for entry in self.model.values() if entry.deadline <= self.now
        }
        for entry in [*decision.expired, *(decision.batch.entries if decision.batch else [])]:
            assert self.model.pop(entry.id) is entry
        if decision.batch is None:
            waiting = {entry.lane for entry in self.model.values()}
            assert lane not in waiting or (lane == "bulk" and "interactive" in waiting)
        else:
            assert decision.batch.lane == lane

    @precondition(lambda self: self.model)
    @rule()
    def clear(self) -> None:
        assert [entry.id for entry in self.queue.clear()] == sorted(self.model)
        self.model.clear()

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.model)
        for lane in LANES:
            assert self.queue.waiting(lane) == sum(entry.lane == lane for entry in self.model.values())


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40)
