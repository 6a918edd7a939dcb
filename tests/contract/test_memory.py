"""The memory budget never exceeds its limit and never loses bytes."""

import gc
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime.memory import FREE_BYTES, MemoryBudget, OverBudget

LIMIT = 10 * FREE_BYTES


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(LIMIT, "TANDEM_SOMETHING")


def test_small_leases_are_free(budget: MemoryBudget) -> None:
    leases = [budget.lease() for _ in range(100)]
    for lease in leases:
        lease.hold(FREE_BYTES)
    assert budget.held == 0


def test_over_the_limit_is_refused_and_the_message_names_the_setting(budget: MemoryBudget) -> None:
    first, second = budget.lease(), budget.lease()
    first.hold(LIMIT)
    with pytest.raises(OverBudget, match=rf"{LIMIT} \(TANDEM_SOMETHING\)"):
        second.hold(4 * FREE_BYTES)
    assert second.held == 0
    first.hold(FREE_BYTES)
    second.hold(4 * FREE_BYTES)
    assert budget.held == 3 * FREE_BYTES


def test_a_lease_of_a_share_leaves_the_rest_to_others(budget: MemoryBudget) -> None:
    bulk, urgent = budget.lease(0.5), budget.lease()
    bulk.hold(LIMIT // 2)
    with pytest.raises(OverBudget):
        bulk.hold(LIMIT)
    urgent.hold(LIMIT // 2)
    with pytest.raises(OverBudget):
        bulk.add(1)
    bulk.hold(0)


def test_an_unreferenced_lease_returns_its_bytes(budget: MemoryBudget) -> None:
    gc.disable()
    try:
        lease = budget.lease()
        lease.hold(LIMIT)
        del lease
        assert budget.held == 0
    finally:
        gc.enable()


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4 * FREE_BYTES)), max_size=40)


@given(steps=steps)
def test_the_budget_is_the_sum_of_its_leases(steps: list[tuple[int, int]]) -> None:
    budget = MemoryBudget(LIMIT, "TANDEM_SOMETHING")
    leases = [budget.lease() for _ in range(5)]
    for index, total in steps:
        before = leases[index].held
        try:
            leases[index].hold(total)
        except OverBudget:
            assert leases[index].held == before
        assert budget.held == sum(max(0, lease.held - FREE_BYTES) for lease in leases) <= LIMIT
    for lease in leases:
        lease.release()
    assert budget.held == 0


def test_threads_lose_no_byte(budget: MemoryBudget) -> None:
    def work() -> None:
        for _ in range(2_000):
            lease = budget.lease()
            lease.hold(FREE_BYTES + 7)
            lease.add(5)
            lease.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.held == 0
