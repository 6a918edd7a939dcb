"""Pure decisions of the re-embedding: what overlaps, what may switch, and when a passage is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.reembeddings import check_switch, spread
from tandem_gateway.errors import Conflict, NotFound
from tandem_gateway.records.reembedding import Reembedding, SecondSpace, SpaceModel
from tandem_gateway.use_cases.reembedding import COMPARED, Progress, mean_overlap, others
from tandem_gateway.use_cases.reembedding_worker import Faults, Place

OLD, NEW = SpaceModel("old", "o" * 32, 4), SpaceModel("new", "n" * 32, 6)
LISTS = st.lists(st.integers(0, 30), max_size=COMPARED, unique=True)


def state(embedded: int, *, switched: bool = False, passages: int = 5) -> Reembedding:
    space = SecondSpace(1, "books", 1, OLD, 2, NEW) if switched else SecondSpace(1, "books", 2, NEW, 1, OLD)
    return Reembedding(space, passages, embedded, truncated=0)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (state(0), "filling"),
        (state(4), "filling"),
        (state(5), "ready"),
        (state(0, passages=0), "ready"),
        (state(4, switched=True), "switched"),
        (state(5, switched=True), "switched"),
    ],
)
def test_the_status(found: Reembedding, status: str):
    assert Progress(found, Faults()).status == status


def test_only_a_complete_space_that_does_not_serve_may_serve():
    assert check_switch(state(5), "books", back=False) == state(5)
    assert check_switch(state(5, switched=True), "books", back=True) == state(5, switched=True)
    for found, back in ((state(4), False), (state(5), True), (state(4, switched=True), True)):
        with pytest.raises(Conflict):
            check_switch(found, "books", back=back)
    with pytest.raises(Conflict, match="new vectors already"):
        check_switch(state(5, switched=True), "books", back=False)
    with pytest.raises(NotFound):
        check_switch(None, "books", back=False)


def test_the_overlap_is_the_mean_share_of_common_documents():
    found = mean_overlap([([1, 2, 3, 4], [4, 3, 9, 8]), ([1, 2], [2, 1]), ([], [])])
    assert (found.queries, found.overlap) == (2, 0.75)
    assert mean_overlap([]).overlap is None
    assert mean_overlap([([], [])]).queries == 0
    assert mean_overlap([([1], [])]).overlap == 0


@given(st.lists(st.tuples(LISTS, LISTS), max_size=20))
def test_the_overlap_is_a_share_and_symmetric(pairs: list[tuple[list[int], list[int]]]):
    found = mean_overlap(pairs)
    assert found == mean_overlap([(second, first) for first, second in pairs])
    assert (found.overlap is None) == (not any(first or second for first, second in pairs))
    assert found.overlap is None or 0 <= found.overlap <= 1
    assert mean_overlap([(first, first) for first, _ in pairs if first]).overlap in (None, 1.0)


def test_a_document_is_no_neighbour_of_itself():
    nearest = list(range(COMPARED + 1))
    assert others(nearest, 0) == nearest[1:]
    assert others(nearest, 99) == nearest[:COMPARED]


@given(st.integers(1, 50), st.lists(st.integers(), max_size=100, unique=True))
def test_values_are_spread_over_all(count: int, among: list[int]):
    found = spread(count, among)
    assert len(found) == min(count, len(among))
    assert len(set(found)) == len(found)
    assert [each for each in among if each in set(found)] == found


def test_what_was_given_up_is_tried_again_after_a_time():
    place = Place(after=7)
    assert place.faults() == Faults()
    assert not place.begin_again(10_000.0)
    place.give_up(3, "refused", now=100.0)
    place.give_up(4, "refused too", now=200.0)
    assert place.faults() == Faults(2, "refused too")
    assert not place.begin_again(399.0)
    assert place.begin_again(400.0)
    assert (place.after, place.faults()) == (0, Faults())
    place.waits_for = "no embedder answers"
    assert place.faults() == Faults(0, "no embedder answers")
