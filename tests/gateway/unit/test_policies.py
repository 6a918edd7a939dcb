"""The small decisions: how long to wait, when to save, when a graph is worn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.maintenance import is_worn
from tandem_gateway.use_cases.backoff import delay
from tandem_gateway.use_cases.snapshotting import SnapshotPolicy, is_due

POLICY = SnapshotPolicy(changes=100, seconds=60)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_delay_is_above_zero_and_never_over_its_bound(failures: int, randomness: float):
    assert 0.05 <= delay(failures, randomness) <= 5.0


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_a_delay_does_not_shrink_with_more_failures(failures: int, randomness: float):
    assert delay(failures, randomness) <= delay(failures + 1, randomness)


def test_a_delay_doubles_until_its_bound():
    spans = [delay(failures, 1.0, base=1, most=10) for failures in (1, 2, 3, 4, 5, 100_000)]
    assert spans == [1, 2, 4, 8, 10, 10]
    assert delay(3, 0.0, base=1, most=10) == 2


@pytest.mark.parametrize(
    ("changes", "seconds", "due"),
    [
        (0, 1e9, False),
        (-3, 1e9, False),
        (1, 59.9, False),
        (1, 60, True),
        (99, 6, False),
        (100, 6, True),
        (10**9, 5.9, False),
    ],
)
def test_a_snapshot_is_due_after_many_changes_or_a_long_time(changes: int, seconds: float, due: bool):
    assert is_due(changes, seconds, POLICY) is due


@given(st.integers(0, 1000), st.floats(0, 1000))
def test_a_snapshot_that_is_due_stays_due(changes: int, seconds: float):
    if is_due(changes, seconds, POLICY):
        assert is_due(changes + 1, seconds, POLICY)
        assert is_due(changes, seconds + 1, POLICY)


@pytest.mark.parametrize(
    ("removed", "count", "worn"),
    [
        (999, 0, False),
        (1000, 0, True),
        (1000, 3000, False),
        (1001, 3000, True),
        (1000, 1_000_000, False),
        (400_000, 1_000_000, True),
    ],
)
def test_a_graph_is_worn_when_a_quarter_and_a_thousand_were_removed(removed: int, count: int, worn: bool):
    assert is_worn(removed, count) is worn
