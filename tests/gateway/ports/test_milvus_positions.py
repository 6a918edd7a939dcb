"""When searches in Milvus see what was written."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.milvus_engine import settled

NOTHING = {"settled": 0, "settling": 0, "settling_since": 0, "written": 0}


def test_a_change_is_visible_some_seconds_after_it_was_written():
    row = settled(NOTHING, 5, 1000, 10.0)
    assert row["settled"] == 0
    assert settled(row, 5, 1009, 10.0)["settled"] == 0
    assert settled(row, 5, 1010, 10.0)["settled"] == 5


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=60))
def test_writes_without_a_pause_become_visible_and_none_too_early(steps: list[tuple[int, int]]):
    row, now, written, history = dict(NOTHING), 1000, 0, [(1000, 0)]
    for seconds, changes in steps:
        now, written = now + seconds, written + changes
        row = settled(row, written, now, 10.0)
        history.append((now, written))
        seen = [change for at, change in history if at <= now - 10]
        assert row["settled"] <= (seen[-1] if seen else 0)
        assert row["settled"] <= row["settling"] <= row["written"]
        # No change waits for more than twice the time and a step.
        earlier = [change for at, change in history if at <= now - 27]
        assert row["settled"] >= (earlier[-1] if earlier else 0)
