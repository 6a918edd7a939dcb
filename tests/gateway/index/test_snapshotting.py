"""The decisions when a snapshot is due, when it is published, and when a gateway builds its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.snapshotting import (
    SharingPolicy,
    SnapshotPolicy,
    Unsaved,
    builds_for_itself,
    is_due,
    is_publication_due,
    new_to_publish,
)

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


SHARING = SharingPolicy(overlay=1000, seconds=600)


@pytest.mark.parametrize(
    ("count", "least", "threshold"),
    [(0, 100, 100), (2000, 100, 200), (4999, 100, 499), (10**6, 100, 500), (0, 900, 500)],
)
def test_a_tenth_of_the_vectors_makes_a_publication_due_within_limits(count: int, least: int, threshold: int):
    assert new_to_publish(count, least, SHARING) == threshold


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(2, 10**6))
def test_a_builder_publishes_before_the_overlay_of_another_gateway_is_full(count: int, least: int, overlay: int):
    assert 1 <= new_to_publish(count, least, SharingPolicy(overlay, 1.0)) <= overlay // 2


@pytest.mark.parametrize(
    ("new", "proven", "seconds", "due"),
    [(99, False, 599, False), (100, False, 0, True), (0, True, 0, True), (0, False, 600, True)],
)
def test_a_publication_is_due_for_many_new_vectors_or_a_proof_or_a_long_time(
    new: int, proven: bool, seconds: float, due: bool
):
    assert is_publication_due(new, proven, seconds, 100, SHARING) is due


@pytest.mark.parametrize(
    ("states", "seconds", "builds"),
    [
        ([], 1e9, False),
        ([Unsaved(10**6, 1000, 10**6)], 1e9, False),
        ([NOTHING, Unsaved(1001, 1001, 0)], 1.9, False),
        ([NOTHING, Unsaved(1001, 1001, 0)], 2, True),
    ],
)
def test_a_gateway_that_waits_for_a_snapshot_builds_its_own_when_its_overlay_is_full(
    states: list[Unsaved], seconds: float, builds: bool
):
    assert builds_for_itself(states, seconds, 2.0, SHARING) is builds
