"""The decisions of a pool of embedders: members, choice of a replica, ejection, and retries."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.pool.addresses import addresses, difference, of_one_family, origin
from tandem_gateway.adapters.pool.balancer import candidates, choose, having
from tandem_gateway.adapters.pool.health import EjectionPolicy, Health, failed, probed, succeeded
from tandem_gateway.adapters.pool.retry_budget import RetryBudget

POLICY = EjectionPolicy(failures=3, base=1.0, most=8.0, forgiven_after=60.0)
FAILURES = ["unavailable", "late", "broken"]
random_numbers = st.floats(0, 1, exclude_max=True)


# addresses


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix", "is_address"),
    [
        ("http://embedder:8080", "embedder", 8080, "", False),
        ("https://embedder/a/b/", "embedder", 443, "/a/b", False),
        ("http://10.0.0.7", "10.0.0.7", 80, "", True),
        ("http://[fd00::1]:81", "fd00::1", 81, "", True),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, prefix: str, is_address: bool):
    found = origin(url)
    assert (found.host, found.port, found.prefix, found.is_address) == (host, port, prefix, is_address)


@pytest.mark.parametrize("url", ["http://", "http://:80", "http://host:port", "http://host:65536"])
def test_a_url_without_a_host_or_with_no_port_is_refused(url: str):
    with pytest.raises(ValueError, match=r"host|ort"):
        origin(url)


ips = st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2"]), max_size=6)


@given(ips)
def test_addresses_are_of_one_family_and_there_once(found: list[str]):
    kept = of_one_family(found)
    assert set(kept) <= set(found)
    assert len(set(kept)) == len(kept)
    assert bool(kept) == bool(found)
    assert len({":" in ip for ip in kept}) <= 1


def test_an_embedder_that_two_names_lead_to_is_there_once_and_another_path_is_another():
    a, b, other = origin("http://a:1"), origin("http://b:1"), origin("http://b:1/v2")
    found = addresses({a: ["10.0.0.1"], b: ["10.0.0.1", "10.0.0.2"], other: ["10.0.0.2"]})
    assert list(found) == ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.2:1/v2"]
    assert (found["10.0.0.1:1"].url, found["10.0.0.2:1"].url) == ("http://a:1", "http://b:1")
    assert list(addresses({origin("http://x:1"): ["fd00::1"]})) == ["[fd00::1]:1"]


@given(ips, ips)
def test_the_difference_leads_from_the_current_to_the_wanted_addresses(before: list[str], after: list[str]):
    source = origin("http://name:1")
    held, wanted = addresses({source: before}), addresses({source: after})
    change = difference(held, wanted)
    assert ({*held} - {*change.gone}) | {address.label for address in change.added} == {*wanted}
    assert not {*change.gone} & {*wanted}
    assert not {address.label for address in change.added} & {*held}


# choice


@dataclass(eq=False)
class Replica:
    name: int
    ejected_since: float = 0.0
    model: str | None = None

    def may_have(self, fingerprint: str, now: float) -> bool:
        return self.model in (None, fingerprint)

    def has(self, fingerprint: str, now: float) -> bool:
        return self.model == fingerprint


replicas = st.lists(st.tuples(st.floats(0, 100), st.sampled_from([None, "f", "g"])), max_size=6).map(
    lambda drawn: [Replica(number, since, model) for number, (since, model) in enumerate(drawn)]
)


@given(replicas, replicas, st.sampled_from([None, "f", "g"]), st.data())
def test_somebody_is_asked_so_long_as_there_is_somebody_else(
    serving: list[Replica], ejected: list[Replica], wanted: str | None, data: st.DataObject
):
    tried = data.draw(st.sampled_from([None, *serving, *ejected]))
    found = candidates(serving, ejected, fingerprint=wanted, tried=tried, now=0.0)
    others = [replica for replica in [*serving, *ejected] if replica is not tried]
    assert bool(found) == bool(others)
    assert tried not in found
    if any(replica is not tried for replica in serving):
        assert all(replica in serving for replica in found)
        fitting = [replica for replica in serving if replica is not tried and replica.model in (None, wanted)]
        if wanted is not None and fitting:
            assert list(found) == fitting
    elif found:
        assert [replica.name for replica in found] == [min(others, key=lambda one: one.ejected_since).name]


@given(replicas, st.sampled_from(["f", "g"]))
def test_a_model_is_found_where_it_is_known_to_be(serving: list[Replica], wanted: str):
    tried = Replica(-1, model=wanted)
    found = having([*serving, tried], fingerprint=wanted, tried=tried, now=0.0)
    assert list(found) == [replica for replica in serving if replica.model == wanted]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), random_numbers, random_numbers
)
def test_the_less_loaded_of_two_is_chosen(loads: list[tuple[int, int]], first: float, second: float):
    chosen = choose(range(len(loads)), lambda number: loads[number], first, second)
    assert 0 <= chosen < len(loads)
    if len(loads) > 1:  # it chooses the most loaded replica only if another has the same load
        assert loads[chosen] < max(loads) or loads.count(max(loads)) > 1
    if len(loads) == 2:
        assert loads[chosen] == min(loads)


def test_any_two_may_be_compared():
    loads = [(number, 0) for number in range(4)]
    grid = [step / 16 for step in range(16)]
    chosen = {choose(range(4), lambda number: loads[number], first, second) for first in grid for second in grid}
    assert chosen == {0, 1, 2}


# health


@given(st.sampled_from(FAILURES), st.integers(0, 40))
def test_an_ejection_ends_after_a_bounded_time(failure: str, before: int):
    health = Health(failures=POLICY.failures - 1, ejections=before)
    after = failed(health, failure, 9.0, 10.0, POLICY)
    assert after.ejected
    assert after.since == 10.0
    assert POLICY.base <= after.until - 10.0 <= POLICY.most
    assert not probed(after, "ready", after.until, POLICY).ejected


@given(st.sampled_from(["late", "broken"]))
def test_one_slow_or_broken_answer_ejects_no_replica_and_a_success_resets_the_count(failure: str):
    health = Health()
    for number in range(20):
        health = failed(health, failure, number, number, POLICY)
        assert not health.ejected
        if health.failures == POLICY.failures - 1:
            health = succeeded(health, number, number, POLICY)
            assert health.failures == 0


def test_an_unreachable_replica_is_ejected_at_once_for_a_time_that_doubles():
    health, now, spans = Health(), 0.0, []
    for _ in range(6):
        health = failed(health, "unavailable", now, now, POLICY)
        spans.append(health.until - now)
        now = health.until
        health = probed(health, "ready", now, POLICY)
    assert spans == [1, 2, 4, 8, 8, 8]
    forgiven = succeeded(health, now + POLICY.forgiven_after, now + POLICY.forgiven_after, POLICY)
    assert forgiven.ejections == 0


@pytest.mark.parametrize("found", ["not_ready", "unreachable", "late"])
def test_only_a_yes_takes_a_replica_back_in_and_not_before_its_time(found: str):
    ejected = failed(Health(), "unavailable", 0.0, 0.0, POLICY)
    assert probed(ejected, found, 100.0, POLICY) == ejected
    assert probed(ejected, "ready", ejected.until - 0.01, POLICY) == ejected


def test_an_unready_or_unreachable_replica_is_ejected_and_a_late_probe_counts_as_one_failure():
    assert probed(Health(), "not_ready", 5.0, POLICY).ejected
    assert probed(Health(), "unreachable", 5.0, POLICY).ejected
    assert probed(Health(), "late", 5.0, POLICY) == Health(failures=1)
    assert probed(Health(failures=2), "ready", 5.0, POLICY) == Health(failures=2)


def test_an_answer_from_before_an_ejection_proves_nothing_and_a_later_one_ends_it():
    ejected = failed(Health(), "unavailable", 4.0, 5.0, POLICY)
    assert succeeded(ejected, 4.5, 6.0, POLICY) == ejected
    assert not succeeded(ejected, 5.5, 6.0, POLICY).ejected


def test_a_replica_that_fails_while_ejected_is_tried_last():
    ejected = failed(Health(), "unavailable", 0.0, 1.0, POLICY)
    again = failed(ejected, "late", 2.0, 3.0, POLICY)
    assert (again.ejected, again.since, again.until) == (True, 3.0, ejected.until)
    assert failed(ejected, "late", 0.5, 3.0, POLICY) == ejected


# budget


@given(st.lists(st.one_of(st.just("call"), st.floats(0, 2)), max_size=200))
def test_retries_are_a_share_of_the_calls_and_a_few_a_second(steps: list[str | float]):
    budget = RetryBudget(0.0, share=0.2, per_second=3.0, most=5.0)
    now, calls, granted = 0.0, 0, 0
    for step in steps:
        if isinstance(step, float):
            now += step
        else:
            calls += 1
            budget.called()
            while budget.take(now):
                granted += 1
    assert granted <= 5.0 + 0.2 * calls + 3.0 * now + 1e-6


def test_a_budget_that_is_spent_fills_with_time():
    budget = RetryBudget(0.0, share=0.0, per_second=2.0, most=1.0)
    assert budget.take(0.0)
    assert not budget.take(0.4)
    assert budget.allows(0.5)
    assert budget.take(0.5)
    assert not budget.take(0.5)
