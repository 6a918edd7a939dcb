"""The decisions of the canary router: which pool gets a call, and whether the canary is as good as stable."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.use_cases.canary.evaluation import (
    CallStats,
    Evidence,
    RollbackLimits,
    Suspicion,
    breach,
    evaluate,
    percentile,
)
from tandem_gateway.use_cases.canary.shares import capacity, drawn
from tandem_gateway.use_cases.canary.stats import CanaryStats

LIMITS = RollbackLimits(error_rate=0.05, p95_ratio=2.0, cosine=0.99, samples=20, window=60.0)
GOOD = CallStats(calls=100, errors=0, timed=100, p95=0.02)


# routing


@given(st.integers(0, 100))
def test_a_percentage_of_all_draws_is_drawn(percent: int):
    assert sum(drawn(percent, (step + 0.5) / 1000) for step in range(1000)) == 10 * percent


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 100))
def test_neither_pool_gets_more_than_its_replicas_share(stable: int, canary: int, weight: int):
    found = capacity(stable, canary, weight)
    assert found >= 1
    if found > 1:
        assert found * (100 - weight) <= stable * 100
        assert found * weight <= canary * 100


def test_all_of_one_pool_is_its_own_capacity():
    assert (capacity(3, 5, 0), capacity(3, 5, 100), capacity(2, 2, 50)) == (3, 5, 4)


# evaluation

figures = st.builds(
    lambda calls, errors, p95: CallStats(calls, min(errors, calls), calls - min(errors, calls), p95),
    st.integers(0, 100),
    st.integers(0, 100),
    st.one_of(st.none(), st.floats(0.001, 5)),
)
evidences = st.builds(Evidence, figures, figures, st.integers(0, 100), st.one_of(st.none(), st.floats(-1, 1)))


@given(figures, st.floats(0.99, 1), st.integers(0, 100))
def test_a_canary_like_stable_crosses_no_limit(one: CallStats, cosine: float, texts: int):
    assert breach(Evidence(one, one, texts, cosine), LIMITS, LIMITS.samples) is None


@given(evidences)
def test_too_few_observations_decide_nothing(evidence: Evidence):
    errors = min(19, evidence.canary.errors)
    few = Evidence(evidence.stable, dataclasses.replace(evidence.canary, calls=19, errors=errors, timed=19))
    assert breach(dataclasses.replace(few, texts=19, cosine=-1.0), LIMITS, LIMITS.samples) is None


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence(GOOD, CallStats(100, 6, 94, 0.02)), "errors"),
        (Evidence(GOOD, CallStats(100, 5, 95, 0.02)), None),
        (Evidence(CallStats(100, 30, 70, 0.02), CallStats(100, 30, 70, 0.02)), None),
        (Evidence(CallStats(100, 30, 70, 0.02), CallStats(100, 31, 69, 0.02)), "errors"),
        (Evidence(CallStats(), CallStats(20, 2, 18, 0.02)), "errors"),
        (Evidence(GOOD, CallStats(100, 0, 100, 0.041)), "latency"),
        (Evidence(GOOD, CallStats(100, 0, 100, 0.04)), None),
        (Evidence(dataclasses.replace(GOOD, p95=0.001), CallStats(100, 0, 100, 0.01)), None),
        (Evidence(CallStats(19, 0, 19, 0.001), CallStats(100, 0, 100, 1.0)), None),
        (Evidence(GOOD, GOOD, 20, 0.98), "parity"),
        (Evidence(GOOD, GOOD, 20, 0.99), None),
    ],
)
def test_each_limit_is_a_reason(evidence: Evidence, reason: str | None):
    found = breach(evidence, LIMITS, LIMITS.samples)
    assert (found.reason if found else None) == reason
    assert found is None or "limit is" in found.detail


@given(evidences, evidences)
def test_nothing_is_rolled_back_on_a_first_suspicion_or_without_fresh_evidence(first: Evidence, fresh: Evidence):
    opinion = evaluate(None, first, first, 5.0, LIMITS)
    assert opinion.verdict is None
    found = breach(first, LIMITS, LIMITS.samples)
    assert opinion.suspicion == (Suspicion(found.reason, 5.0) if found else None)
    if opinion.suspicion is not None:
        second = evaluate(opinion.suspicion, first, fresh, 6.0, LIMITS)
        assert second.verdict == breach(fresh, LIMITS, LIMITS.samples // 2)


def test_a_suspicion_that_fresh_calls_do_not_confirm_is_dropped():
    suspicion = Suspicion("latency", 1.0)
    bad = Evidence(GOOD, CallStats(100, 0, 100, 1.0))
    assert evaluate(suspicion, bad, Evidence(GOOD, CallStats(9, 0, 9, 0.02)), 2.0, LIMITS).suspicion == suspicion
    assert evaluate(suspicion, bad, Evidence(GOOD, CallStats(10, 0, 10, 0.02)), 2.0, LIMITS).suspicion is None


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=300), st.integers(1, 100))
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: int):
    found = percentile(list(values), percent / 100)
    assert found in values
    below = sum(value <= found for value in values)
    assert below * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_an_empty_list_has_no_percentile():
    assert percentile([], 0.95) is None


# the statistics of a canary on trial


def observed(stats: CanaryStats, since: float, calls: int, *, canary: float, failed: bool = False) -> float:
    for number in range(calls):
        now = since + (number + 1) / 10
        stats.stable(now, 0.02)
        stats.canary(now, None if failed else canary, failed=failed)
    return since + calls / 10


def test_one_pause_of_the_canary_is_forgiven():
    stats = CanaryStats(LIMITS)
    now = observed(stats, 0.0, 30, canary=0.02)
    now = observed(stats, now, 3, canary=3.0)
    assert stats.verdict(now) is None  # a suspicion
    for _ in range(40):
        now = observed(stats, now, 5, canary=0.02)
        assert stats.verdict(now) is None


@pytest.mark.parametrize(("failed", "reason"), [(False, "latency"), (True, "errors")])
def test_a_canary_that_stays_bad_is_rolled_back(failed: bool, reason: str):
    stats = CanaryStats(LIMITS)
    now = observed(stats, 0.0, 20, canary=1.0, failed=failed)
    assert stats.verdict(now) is None
    now = observed(stats, now, 9, canary=1.0, failed=failed)
    assert stats.verdict(now) is None
    now = observed(stats, now, 1, canary=1.0, failed=failed)
    verdict = stats.verdict(now)
    assert verdict is not None
    assert verdict.reason == reason
    stats.forget()
    assert stats.evidence(now) == Evidence(CallStats(), CallStats())


def test_observations_older_than_the_window_do_not_count():
    stats = CanaryStats(LIMITS)
    now = observed(stats, 0.0, 100, canary=1.0, failed=True)
    stats.compared(now, [0.1] * 100)
    assert stats.evidence(now).canary.errors == 100
    assert stats.evidence(now + LIMITS.window + 1) == Evidence(CallStats(), CallStats())


def test_memory_is_bounded():
    stats = CanaryStats(LIMITS)
    for _ in range(10_000):
        stats.canary(1.0, 0.1)
    stats.compared(1.0, [1.0] * 10_000)
    evidence = stats.evidence(1.0)
    assert (evidence.canary.calls, evidence.texts) == (2000, 2000)
