"""The projection of replicas and memory for other loads, compared with values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_bench.reporting.projection import Point, capacity, split_scaling, whole_copies

POINTS = [Point(1, 100.0, 5.0), Point(16, 700.0, 35.0), Point(64, 900.0, 110.0)]


def test_capacity_is_the_highest_rate_within_the_latency_target() -> None:
    assert capacity(POINTS, 100.0) == POINTS[1]
    assert capacity(POINTS, 110.0) == POINTS[2]
    assert capacity(POINTS, 5.0) == POINTS[0]
    assert capacity(POINTS, 4.9) is None
    assert capacity([], 100.0) is None


@pytest.mark.parametrize(("target", "replicas"), [(500, 1), (700, 1), (701, 2), (1000, 2), (10_000, 15)])
def test_whole_copies_are_rounded_up_and_each_has_all_of_the_memory(target: float, replicas: int) -> None:
    found = whole_copies(target, POINTS[1], 200.0)
    assert (found.replicas, found.memory_mib) == (replicas, 200.0 * replicas)


def test_the_published_projection_follows_from_its_own_figures() -> None:
    # 356 searches a second at 387 MiB: three replicas and 1.16 GiB for 1,000.
    found = whole_copies(1000, Point(16, 356.0, 150.0), 387.0)
    assert found.replicas == 3
    assert found.memory_mib / 1000 == pytest.approx(1.16, abs=0.005)


def test_embedders_and_gateways_are_counted_by_their_own_cpu_time() -> None:
    found = split_scaling(
        1000, embedder_cpu_ms=2.0, gateway_cpu_ms=0.5, cores=2, embedder_mib=130.0, gateway_mib=70.0, utilisation=0.7
    )
    # 2.0 busy cores over 1.4 usable ones; half a core over 0.7.
    assert (found.embedder_cores, found.gateway_cores) == pytest.approx((2.0, 0.5))
    assert (found.embedders, found.gateways) == (2, 1)
    assert found.memory_mib == 2 * 130.0 + 70.0


@given(
    target=st.floats(1, 100_000),
    embedder=st.floats(0.01, 50),
    gateway=st.floats(0.01, 10),
    cores=st.integers(1, 64),
)
def test_no_part_is_planned_busier_than_allowed_and_none_is_missing(
    target: float, embedder: float, gateway: float, cores: int
) -> None:
    found = split_scaling(
        target, embedder_cpu_ms=embedder, gateway_cpu_ms=gateway, cores=cores, embedder_mib=1.0, gateway_mib=1.0
    )
    assert found.embedders >= 1
    assert found.gateways >= 1
    assert found.embedder_cores / (found.embedders * cores) <= 0.7 * (1 + 1e-9)
    assert found.gateway_cores / found.gateways <= 0.7 * (1 + 1e-9)
    assert found.memory_mib == found.embedders + found.gateways
    assert math.isclose(found.embedder_cores, target * embedder / 1000)
