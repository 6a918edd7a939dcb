"""Decides whether a client reads its response too slowly. Pure: time and bytes are arguments.

A response holds memory until the client has read it. Without a minimum rate, a few clients that read a few bytes a
second would hold the whole memory budget, and all other clients would get 429.
"""

from dataclasses import dataclass
from typing import Literal

Slow = Literal["stopped", "slow"]


@dataclass(frozen=True, slots=True)
class ReadRate:
    """Minimum rate at which a client must read a response once the connection's write buffer is full.

    Attributes:
        stall_seconds: the client takes at least one byte in this time.
        bytes_per_second: minimum average after the grace time, measured since the buffer became full. It covers the
            whole time, because the kernel takes bytes from the buffer in lumps.
        grace_seconds: time before the average counts.
        small_bytes: with at most this many unsent bytes, the longer grace time applies. A phone on a slow link can
            then read the rest.
        small_grace_seconds: the longer grace time.
    """

    stall_seconds: float = 30.0
    bytes_per_second: int = 128 << 10
    grace_seconds: float = 30.0
    small_bytes: int = 256 << 10
    small_grace_seconds: float = 120.0


def slow(rate: ReadRate, *, elapsed: float, idle: float, taken: int, unsent: int) -> Slow | None:
    """Return why a client reads too slowly, None if it does not.

    Args:
        rate: see ``ReadRate``.
        elapsed: seconds since the write buffer became full.
        idle: seconds since the client last took a byte.
        taken: bytes that the client took in ``elapsed``.
        unsent: bytes in the write buffer now.
    """
    if unsent == 0:
        return None
    if idle >= rate.stall_seconds:
        return "stopped"
    grace = rate.grace_seconds if unsent > rate.small_bytes else rate.small_grace_seconds
    return "slow" if taken < rate.bytes_per_second * (elapsed - grace) else None
