"""How many replicas, and how much memory, other loads would take: arithmetic on what was measured, and no more.

Two ways to grow. *Whole copies*: n machines like the one that was measured, each with all processes and an index of its
own, behind a load balancer; so the published comparison counts. *Embedders alone*: of a split architecture, the part
that does the work is repeated and the gateway as seldom as its own CPU time allows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

UTILISATION = 0.7
"""Share of a core that is planned to be busy, where a figure comes from CPU time: a queue in front of something that is
always busy has no bounded length."""


@dataclass(frozen=True)
class Point:
    """What was measured at one concurrency."""

    concurrency: int
    rps: float
    p95: float


@dataclass(frozen=True)
class WholeCopies:
    """``replicas`` = ceil(target ÷ capacity), each with all of the architecture's memory."""

    target_rps: float
    capacity: Point
    replicas: int
    memory_mib: float


@dataclass(frozen=True)
class SplitScaling:
    """Busy cores of a part = target × its CPU time a request; replicas = ceil(busy cores ÷ usable cores of one)."""

    target_rps: float
    embedders: int
    gateways: int
    embedder_cores: float
    """Cores that are busy in all embedders together."""
    gateway_cores: float
    memory_mib: float


def capacity(points: Sequence[Point], p95_target: float) -> Point | None:
    """Return the point with the highest rate among those whose p95 is within the target; None if there is none."""
    return max((point for point in points if point.p95 <= p95_target), key=lambda point: point.rps, default=None)


def whole_copies(target_rps: float, point: Point, memory_mib: float) -> WholeCopies:
    """Return what whole copies of an architecture take.

    Args:
        target_rps: searches a second.
        point: what one copy does.
        memory_mib: of one copy.
    """
    replicas = math.ceil(target_rps / point.rps)
    return WholeCopies(target_rps, point, replicas, replicas * memory_mib)


def split_scaling(
    target_rps: float,
    *,
    embedder_cpu_ms: float,
    gateway_cpu_ms: float,
    cores: int,
    embedder_mib: float,
    gateway_mib: float,
    utilisation: float = UTILISATION,
) -> SplitScaling:
    """Return what a split architecture takes if its embedders are repeated by themselves.

    Args:
        target_rps: searches a second.
        embedder_cpu_ms: CPU time of all embedders, a search.
        gateway_cpu_ms: of the gateway, a search.
        cores: that an embedder replica has; the gateway's event loop uses one.
        embedder_mib: memory of one embedder.
        gateway_mib: memory of one gateway.
        utilisation: share of a core that may be busy.
    """
    embedder_cores = target_rps * embedder_cpu_ms / 1000
    gateway_cores = target_rps * gateway_cpu_ms / 1000
    embedders = max(1, math.ceil(embedder_cores / (cores * utilisation)))
    gateways = max(1, math.ceil(gateway_cores / utilisation))
    memory = embedders * embedder_mib + gateways * gateway_mib
    return SplitScaling(target_rps, embedders, gateways, embedder_cores, gateway_cores, memory)
