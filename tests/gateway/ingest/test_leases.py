"""Leases on pending documents, and the order in which collections are served: decisions without a clock or a store."""

import itertools
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tandem_gateway.adapters import leases
from tandem_gateway.adapters.leases import Lease, LeaseTable, Turns, batch_alone, service_order


def leased(*passage_ids: int, worker: str = "a", until: float = 10.0) -> LeaseTable:
    table = LeaseTable()
    table.grant(passage_ids, Lease(worker, 1, until))
    return table


def test_a_lease_is_held_until_its_time():
    table = leased(5)
    assert [table.holder(5, now) for now in (0.0, 9.99, 10.0)] == ["a", "a", None]
    assert table.holder(6, 0.0) is None
    assert table.held() == {1: {5}}


def test_a_lease_that_runs_out_counts_an_attempt():
    table = leased(5, 6)
    table.grant([7], Lease("b", 2, 11.0))
    assert table.expire(9.99) == []
    assert table.expire(10.0) == [5, 6]
    assert table.attempts() == {5: 1, 6: 1}
    assert table.held() == {2: {7}}
    table.grant([5], Lease("b", 1, 20.0))
    table.expire(20.0)
    assert table.attempts() == {5: 2, 6: 1, 7: 1}


def test_a_leased_document_is_granted_to_nobody_else():
    table = leased(5)
    with pytest.raises(AssertionError, match="leased to a"):
        table.grant([5], Lease("b", 1, 20.0))


def test_only_the_holder_releases_and_only_a_suspect_gets_an_attempt():
    table = leased(5, 6, 7)
    table.release("b", [5, 6, 7], suspect=True)
    assert table.held() == {1: {5, 6, 7}}
    table.release("a", [5, 99], suspect=False)
    table.release("a", [6], suspect=True)
    assert table.held() == {1: {7}}
    assert table.attempts() == {6: 1}
    table.release("a", [6], suspect=True)
    assert table.attempts() == {6: 1}


def test_a_lease_is_extended_only_while_it_is_held():
    table = leased(5, 6)
    table.release("a", [6], suspect=False)
    assert table.extend("b", [5], 0.0, 99.0) == []
    assert table.extend("a", [5, 6], 9.0, 15.0) == [5]
    assert table.expire(10.0) == []
    assert table.extend("a", [5], 15.0, 20.0) == []
    assert table.expire(15.0) == [5]


def test_a_document_that_is_done_is_forgotten_whoever_holds_it():
    table = leased(5, 6)
    table.release("a", [5], suspect=True)
    table.forget([5, 6, 7])
    assert table.held() == {}
    assert table.attempts() == {}


@given(st.lists(st.integers(), unique=True, max_size=8), st.dictionaries(st.integers(), st.integers(1, 3), max_size=8))
def test_a_suspect_shares_no_batch_and_every_claim_gets_something(passage_ids: list[int], attempts: dict[int, int]):
    chosen = batch_alone(passage_ids, attempts)
    assert chosen == passage_ids[: len(chosen)] or chosen == [next(row for row in passage_ids if row in attempts)]
    assert bool(chosen) == bool(passage_ids)
    assert len(chosen) <= 1 or not attempts.keys() & set(chosen)
    assert len(chosen) == len(passage_ids) or len(chosen) == 1


class Leases(RuleBasedStateMachine):
    """A table against a plain model, over any history of grants, ends and times."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LeaseTable()
        self.now = 0.0
        self.model: dict[int, tuple[str, float]] = {}
        self.attempts: Counter[int] = Counter()

    @rule(passage_id=st.integers(0, 5), worker=st.sampled_from("ab"), seconds=st.integers(1, 5))
    def claim(self, passage_id: int, worker: str, seconds: int) -> None:
        self.expire()
        if passage_id not in self.model:
            self.table.grant([passage_id], Lease(worker, passage_id % 2, self.now + seconds))
            self.model[passage_id] = (worker, self.now + seconds)

    @rule(passage_id=st.integers(0, 5), worker=st.sampled_from("ab"), suspect=st.booleans())
    def release(self, passage_id: int, worker: str, suspect: bool) -> None:
        self.table.release(worker, [passage_id], suspect=suspect)
        if passage_id in self.model and self.model[passage_id][0] == worker:
            del self.model[passage_id]
            self.attempts[passage_id] += suspect

    @rule(passage_id=st.integers(0, 5), worker=st.sampled_from("ab"), seconds=st.integers(1, 5))
    def extend(self, passage_id: int, worker: str, seconds: int) -> None:
        holder, until = self.model.get(passage_id, (None, 0.0))
        holds = holder == worker and self.now < until
        assert self.table.extend(worker, [passage_id], self.now, self.now + seconds) == ([passage_id] if holds else [])
        if holds:
            self.model[passage_id] = (worker, self.now + seconds)

    @rule(passage_id=st.integers(0, 5))
    def forget(self, passage_id: int) -> None:
        self.table.forget([passage_id])
        self.model.pop(passage_id, None)
        self.attempts.pop(passage_id, None)

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: self.model)
    @rule()
    def expire(self) -> None:
        ended = {passage_id for passage_id, (_, until) in self.model.items() if until <= self.now}
        assert set(self.table.expire(self.now)) == ended
        for passage_id in ended:
            del self.model[passage_id]
            self.attempts[passage_id] += 1

    @invariant()
    def they_agree(self) -> None:
        held = self.table.held()
        assert {passage_id for rows in held.values() for passage_id in rows} == self.model.keys()
        assert all(passage_id % 2 == number for number, rows in held.items() for passage_id in rows)
        assert self.table.attempts() == +self.attempts
        for passage_id, (worker, until) in self.model.items():
            assert self.table.holder(passage_id, self.now) == (worker if self.now < until else None)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def test_the_collection_with_fewest_leased_documents_comes_first_and_then_the_one_served_longest_ago():
    served = {1: 5, 2: 3, 3: 4, 4: 3}
    assert service_order([1, 2, 3, 4], {}, served) == [2, 4, 3, 1]
    assert service_order([1, 2, 3, 4], {2: 32, 4: 1}, served) == [3, 1, 4, 2]


NUMBERS = st.integers(1, 6)


@given(
    st.sets(NUMBERS),
    st.dictionaries(NUMBERS, st.integers(0, 50)),
    st.fixed_dictionaries({number: st.integers(0, 99) for number in range(1, 7)}),
)
def test_every_waiting_collection_is_in_the_order_once(
    waiting: set[int], leases: dict[int, int], served: dict[int, int]
):
    order = service_order(waiting, leases, served)
    assert sorted(order) == sorted(waiting)
    for first, second in itertools.pairwise(order):
        assert (leases.get(first, 0), served[first]) <= (leases.get(second, 0), served[second])


def test_a_new_collection_overtakes_only_the_one_that_was_served_last():
    turns = Turns()
    assert turns.order([2, 1], {}) == [1, 2]
    turns.serve(1)
    assert turns.order([1, 2, 3], {}) == [2, 3, 1]
    turns.serve(2)
    assert turns.order([1, 2, 3], {}) == [3, 1, 2]
    turns.keep({1, 2})
    assert turns.order([1, 2, 3], {}) == [1, 3, 2]


VICTIM = 3
WAITS = {
    "always": lambda claim: True,
    "every second time": lambda claim: claim % 2 == 0,
    "seldom": lambda claim: claim % 5 == 0,
    "created each time": lambda claim: True,
}


@given(
    calls=st.integers(1, 3),
    longest=st.integers(0, 4),
    others=st.lists(st.sampled_from(sorted(WAITS)), min_size=1, max_size=5),
    random=st.randoms(use_true_random=False),
)
def test_no_collection_starves_whatever_others_do(calls: int, longest: int, others: list[str], random: Random):
    """Others wait always or now and then, or are deleted and created again; a call lasts at most ``longest`` claims."""
    turns = Turns()
    leases: list[tuple[int, int, int]] = []  # collection, documents, claims until the end
    numbers = dict(enumerate((1, 2, 4, 5, 6)[: len(others)]))
    fresh = itertools.count(7)
    since = 0
    for claim in range(60):
        leases = [(number, documents, left - 1) for number, documents, left in leases if left > 0]
        if len(leases) == calls:
            del leases[0]
        for place, habit in enumerate(others):
            if habit == "created each time":
                numbers[place] = next(fresh)
        waiting = {VICTIM, *(numbers[place] for place, habit in enumerate(others) if WAITS[habit](claim))}
        turns.keep({VICTIM, *numbers.values()})
        leased: Counter[int] = Counter()
        for number, documents, _ in leases:
            leased[number] += documents
        chosen = turns.order(waiting, leased)[0]
        turns.serve(chosen)
        leases.append((chosen, 32 if chosen == VICTIM else 1, random.randint(0, longest)))
        since = 0 if chosen == VICTIM else since + 1
        # Its own call has to end; then each other collection that is ahead of it is served once.
        assert since <= longest + 1 + len(others)


def test_the_attempts_of_a_limited_number_of_passages_are_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leases, "MAX_KNOWN_ATTEMPTS", 3)
    table = LeaseTable()
    for passage_id in (1, 2, 3, 1, 4):  # the first one is tried again, so the second was counted longest ago
        table.grant([passage_id], Lease("w", 1, 10.0))
        table.release("w", [passage_id], suspect=True)
    assert table.attempts() == {3: 1, 1: 2, 4: 1}
