"""Projects replicas and memory for other loads from the measured figures.

There are two ways to grow. *Whole copies*: n machines like the measured one behind a load balancer, each with all
processes and its own index. The published comparison counts like this. *Embedders alone*: a split architecture gets
more embedders, and more gateways only if the CPU time of one does not suffice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

UTILISATION = 0.7
"""Planned busy share of a core, for figures that come from CPU time. A queue in front of a server that is always busy
has no bounded length."""


@dataclass(frozen=True)
class Point:
    """The measured figures at one concurrency."""

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
    """Number of busy cores in all embedders together."""
    gateway_cores: float
    memory_mib: float


def capacity(points: Sequence[Point], p95_target: float) -> Point | None:
    """Return the point with the highest rate among those whose p95 is within the target; None if there is none."""
    return max((point for point in points if point.p95 <= p95_target), key=lambda point: point.rps, default=None)


def whole_copies(target_rps: float, point: Point, memory_mib: float) -> WholeCopies:
    """Return the replicas and the memory of whole copies of an architecture.

    Args:
        target_rps: searches a second.
        point: figures of one copy.
        memory_mib: memory of one copy.
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
    """Return the replicas and the memory of a split architecture that grows by embedders.

    Args:
        target_rps: searches a second.
        embedder_cpu_ms: CPU time of all embedders for one search.
        gateway_cpu_ms: CPU time of the gateway for one search.
        cores: cores of an embedder replica; the gateway's event loop uses one.
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
