"""Percentiles and summaries of timings, with known results."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_bench.load.ceiling import is_limited_by_client
from gateway_bench.load.timings import QUANTILES, Timings, latency_of, percentile


def test_percentiles_of_one_to_a_hundred_are_their_own_numbers() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile(values, 0.0) == 1.0


@pytest.mark.parametrize(("share", "expected"), [(0.05, 15), (0.3, 20), (0.4, 20), (0.5, 35), (1.0, 50)])
def test_the_known_example_of_nearest_rank(share: float, expected: int) -> None:
    assert percentile([15, 20, 35, 40, 50], share) == expected


def test_a_share_that_floats_miss_by_a_hair_does_not_move_the_rank() -> None:
    assert 0.95 * 20 == 19.0 or 0.95 * 20 > 19.0
    assert percentile(list(range(1, 21)), 0.95) == 19
    assert percentile(list(range(1, 1001)), 0.999) == 999


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from(QUANTILES))
def test_percentiles_agree_with_numpys_inverse_of_the_distribution(values: list[float], share: float) -> None:
    ascending = sorted(values)
    found = percentile(ascending, share)
    assert found in ascending
    at_most = sum(value <= found for value in ascending)
    assert at_most >= share * len(ascending) - 1e-6
    if not math.isclose(
        share * len(values), round(share * len(values)), abs_tol=1e-6
    ):  # the rank there is a convention
        assert found == np.percentile(ascending, 100 * share, method="inverted_cdf")


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    assert latency_of([]) is None


def recorded() -> Timings:
    timings = Timings()
    timings.add(due=0.0, sent=0.0, done=0.010)
    timings.add(due=0.0, sent=0.001, done=0.030)
    timings.add(due=0.5, sent=0.6, done=0.9, kind="HTTP 429")
    timings.add(due=1.0, sent=1.0, done=2.5)
    timings.add(due=1.0, sent=1.0, done=1.1, kind="timeout")
    timings.add(due=1.5, sent=1.5, done=1.6, kind="HTTP 429")
    return timings


def test_errors_are_counted_by_kind_and_are_no_results() -> None:
    summary = recorded().summarise(None, cpu_seconds=0.0006)
    assert (summary.requests, summary.ok) == (6, 3)
    assert summary.errors == {"HTTP 429": 2, "timeout": 1}
    assert summary.seconds == 2.5
    assert summary.rps == pytest.approx(3 / 2.5)
    assert summary.client_cpu_us == pytest.approx(100.0)
    assert summary.latency is not None
    assert (summary.latency.p50, summary.latency.max) == pytest.approx((30.0, 1500.0))
    assert summary.distribution[-1] == summary.latency.max


def test_answers_after_the_window_count_for_latency_but_not_for_the_rate() -> None:
    summary = recorded().summarise(2.0, cpu_seconds=0.0)
    assert summary.rps == pytest.approx(2 / 2.0)
    assert summary.latency is not None
    assert summary.latency.max == pytest.approx(1500.0)


def test_the_lag_of_an_open_loop_is_reported() -> None:
    assert recorded().summarise(None, 0.0).lag_p95 == pytest.approx(100.0)


def test_a_run_without_an_answer_has_no_latency_and_no_rate() -> None:
    timings = Timings()
    timings.add(0.0, 0.0, 1.0, "no connection")
    summary = timings.summarise(None, 0.0)
    assert (summary.ok, summary.rps, summary.latency, summary.distribution) == (0, 0.0, None, [])


def test_the_raw_timings_are_written_one_line_a_request(tmp_path: Path) -> None:
    path = tmp_path / "raw.csv"
    recorded().write_csv(path, label=[("concurrency", 1)])
    recorded().write_csv(path, label=[("concurrency", 16)], append=True)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["concurrency"] for row in rows] == ["1"] * 6 + ["16"] * 6
    assert [row["outcome"] for row in rows[:6]] == ["ok", "ok", "HTTP 429", "ok", "timeout", "HTTP 429"]
    assert float(rows[2]["latency_ms"]) == pytest.approx(400.0)


@pytest.mark.parametrize(("rps", "limited"), [(700.0, False), (700.1, True), (10.0, False)])
def test_a_result_over_seventy_percent_of_the_ceiling_is_limited_by_the_client(rps: float, limited: bool) -> None:
    assert is_limited_by_client(rps, 1000.0) is limited
