"""The decision when a snapshot is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.snapshotting import SnapshotPolicy, Unsaved, is_due

POLICY = SnapshotPolicy(new=100, seconds=60)


NOTHING = Unsaved(changes=0, new=0, unproven=0)


@pytest.mark.parametrize(
    ("unsaved", "seconds", "due"),
    [
        ([], 1e9, False),
        ([NOTHING], 1e9, False),
        ([Unsaved(-3, 0, 0)], 1e9, False),
        ([NOTHING, Unsaved(1, 0, 0)], 59.9, False),
        ([NOTHING, Unsaved(1, 0, 0)], 60, True),
        ([Unsaved(99, 99, 0)], 59.9, False),
        ([NOTHING, Unsaved(100, 100, 0)], 2, True),
        ([Unsaved(10**9, 10**9, 0)], 1.9, False),
        ([Unsaved(0, 0, 5)], 5.9, False),
        ([NOTHING, Unsaved(0, 0, 5)], 6, True),
    ],
)
def test_a_snapshot_is_due_for_many_new_vectors_or_a_long_time_or_vectors_to_be_proven(
    unsaved: list[Unsaved], seconds: float, due: bool
):
    assert is_due(unsaved, seconds, POLICY) is due


unsaved = st.builds(Unsaved, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))


@given(st.lists(unsaved, max_size=3), unsaved, st.floats(0, 1000))
def test_a_snapshot_that_is_due_stays_due(states: list[Unsaved], more: Unsaved, seconds: float):
    if is_due(states, seconds, POLICY):
        assert is_due(states, seconds + 1, POLICY)
