"""The time of a checkpoint after deletions: examples, and rules that hold for every sequence."""

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.checkpoint_schedule import CheckpointSchedule, Delays

DELAYS = Delays(quiet=5.0, latest=60.0, retry=2.0)

steps = st.floats(0.0, 100.0, allow_nan=False)
delays = st.builds(Delays, quiet=st.floats(0.0, 100.0), latest=st.floats(0.0, 100.0), retry=st.floats(0.0, 100.0))


def test_nothing_is_due_without_a_deletion():
    schedule = CheckpointSchedule(DELAYS)
    assert schedule.due_at() is None
    schedule.attempted(3.0, complete=False)
    assert schedule.due_at() is None


def test_a_checkpoint_waits_for_a_pause_between_deletions():
    schedule = CheckpointSchedule(DELAYS)
    schedule.deleted(100.0)
    assert schedule.due_at() == 105.0
    schedule.deleted(104.0)
    assert schedule.due_at() == 109.0


def test_a_checkpoint_does_not_wait_longer_than_the_limit():
    schedule = CheckpointSchedule(DELAYS)
    for second in range(100, 200, 4):
        schedule.deleted(float(second))
    assert schedule.due_at() == 160.0


def test_a_busy_checkpoint_is_tried_again_after_the_delay_of_a_retry():
    schedule = CheckpointSchedule(DELAYS)
    schedule.deleted(100.0)
    schedule.attempted(105.0, complete=False)
    assert schedule.due_at() == 107.0
    schedule.deleted(106.0)
    assert schedule.due_at() == 111.0
    schedule.attempted(111.0, complete=False)
    assert schedule.due_at() == 113.0


def test_a_complete_checkpoint_ends_it_until_the_next_deletion():
    schedule = CheckpointSchedule(DELAYS)
    schedule.deleted(100.0)
    schedule.attempted(105.0, complete=False)
    schedule.attempted(107.0, complete=True)
    assert schedule.due_at() is None
    schedule.deleted(107.5)
    assert schedule.due_at() == 112.5


@given(delays, st.lists(steps, min_size=1))
def test_without_an_attempt_it_is_due_within_both_limits(delays: Delays, gaps: list[float]):
    schedule = CheckpointSchedule(delays)
    times = [sum(gaps[: count + 1]) for count in range(len(gaps))]
    for now in times:
        schedule.deleted(now)
    due_at = schedule.due_at()
    assert due_at is not None
    assert due_at <= times[0] + delays.latest
    assert due_at <= times[-1] + delays.quiet
    assert due_at in (times[0] + delays.latest, times[-1] + delays.quiet)


@given(delays, st.lists(st.tuples(steps, st.sampled_from(["deletion", "wait"]), st.booleans())))
def test_every_deletion_is_covered_in_time_and_attempts_keep_their_distance(
    delays: Delays, events: list[tuple[float, str, bool]]
):
    """Runs the schedule as the thread does: it attempts whenever one is due, and a reader sometimes prevents it."""
    schedule = CheckpointSchedule(delays)
    now = 0.0
    uncovered: list[float] = []
    tried: float | None = None
    for gap, event, reader in events:
        until = now + gap
        # Without a limit on the attempts, a retry without a delay would loop for ever.
        for _ in range(3):
            due_at = schedule.due_at()
            assert (due_at is None) == (not uncovered)
            if due_at is None or due_at > until:
                break
            now = max(now, due_at)
            assert tried is None or now >= tried + delays.retry
            if tried is None:
                assert now >= min(uncovered[0] + delays.latest, uncovered[-1] + delays.quiet)
            schedule.attempted(now, complete=not reader)
            tried = now if reader else None
            uncovered = uncovered if reader else []
        now = until
        if event == "deletion":
            schedule.deleted(now)
            uncovered.append(now)
    due_at = schedule.due_at()
    if uncovered:
        assert due_at is not None
        assert due_at <= max(uncovered[0] + delays.latest, now if tried is None else tried + delays.retry)
