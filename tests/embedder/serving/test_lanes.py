"""The number of batches of each lane that run at a time."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_embedder.batching.lanes import LANES, Lane, extra_runs, has_room

steps = st.lists(st.tuples(st.sampled_from(LANES), st.booleans()), max_size=80)


def run_steps(workers: int, taken: list[tuple[Lane, bool]]) -> list[Counter[Lane]]:
    """Start a batch if there is room, or end one; return the running batches after each step."""
    running: Counter[Lane] = Counter()
    states = [Counter(running)]
    for lane, starts in taken:
        if starts and has_room(lane, running, workers):
            running[lane] += 1
        elif not starts and running[lane]:
            running[lane] -= 1
        states.append(Counter(running))
    return states


@given(st.integers(1, 16), steps)
def test_the_number_of_running_batches_is_limited(workers: int, taken: list[tuple[Lane, bool]]) -> None:
    for running in run_steps(workers, taken):
        assert running.total() <= workers + extra_runs(workers)
        assert all(running[lane] <= workers for lane in LANES)


@given(st.integers(1, 16), steps)
def test_bulk_never_takes_the_room_of_queries(workers: int, taken: list[tuple[Lane, bool]]) -> None:
    for running in run_steps(workers, taken):
        if running["interactive"] < extra_runs(workers):
            assert has_room("interactive", running, workers)


@given(st.integers(1, 16), steps)
def test_queries_never_take_all_of_the_room(workers: int, taken: list[tuple[Lane, bool]]) -> None:
    for running in run_steps(workers, taken):
        if running["bulk"] == 0:
            assert has_room("bulk", running, workers)


@given(st.integers(1, 16), st.sampled_from(LANES))
def test_a_lane_by_itself_has_all_workers(workers: int, lane: Lane) -> None:
    assert [has_room(lane, Counter({lane: count}), workers) for count in (workers - 1, workers)] == [True, False]


@pytest.mark.parametrize(("workers", "extra"), [(1, 1), (2, 1), (3, 2), (8, 4)])
def test_queries_have_half_of_the_workers_beside_bulk(workers: int, extra: int) -> None:
    assert extra_runs(workers) == extra
