"""Limits on what one caller may use, and the text by which settings and keys name them.

A limit is written ``requests=100/minute`` or ``requests=100/minute:burst=20``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

Resource = Literal["requests", "tokens", "documents"]
Period = Literal["second", "minute", "hour", "day"]

RESOURCES: Final[tuple[Resource, ...]] = get_args(Resource)
SECONDS: Final[dict[Period, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
MAX_AMOUNT: Final = 1_000_000_000_000
MAX_LIMITS: Final = len(RESOURCES) * len(SECONDS)
"""Maximum number of limits of one caller: one for each resource and period."""
LIMIT_PATTERN: Final = (
    "^(requests|tokens|documents)=[1-9][0-9]{0,12}/(second|minute|hour|day)(:burst=[1-9][0-9]{0,12})?$"
)
"""Pattern of a limit, in the syntax of JSON Schema."""
EXPECTED: Final = (
    "RESOURCE=NUMBER/PERIOD was expected, such as requests=100/minute or requests=100/minute:burst=20; a resource is "
    "requests, tokens or documents, a period is second, minute, hour or day, and a day has no burst"
)
_LIMIT: Final = re.compile(
    r"(requests|tokens|documents)=([1-9][0-9]{0,12})/(second|minute|hour|day)(?::burst=([1-9][0-9]{0,12}))?\Z"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a resource a caller may use in a period.

    A limit for a day counts from midnight to midnight in UTC. Any other limit is a rate: the caller may use ``burst``
    at once, and gets ``amount`` back in the course of each period.
    """

    resource: Resource
    amount: int
    period: Period
    burst: int
    """At least 1; for a day it is ``amount``."""

    @property
    def daily(self) -> bool:
        """Whether the limit counts days."""
        return self.period == "day"

    @property
    def seconds(self) -> int:
        """Length of the period."""
        return SECONDS[self.period]

    def __str__(self) -> str:
        burst = f":burst={self.burst}" if self.burst != self.amount else ""
        return f"{self.resource}={self.amount}/{self.period}{burst}"


def parse_limit(text: str) -> Limit:
    """Return the limit that a text names.

    Raises:
        ValueError: it names none; the message says what was expected.
    """
    found = _LIMIT.match(text)
    if found is None:
        raise ValueError(EXPECTED)
    resource = next(each for each in RESOURCES if each == found[1])
    period = next(each for each in SECONDS if each == found[3])
    amount = int(found[2])
    burst = int(found[4] or amount)
    if amount > MAX_AMOUNT or burst > MAX_AMOUNT:
        raise ValueError(f"a whole number of at most {MAX_AMOUNT} was expected")
    if period == "day" and found[4] is not None:
        raise ValueError("a limit for a day has no burst: leave out ':burst='")
    return Limit(resource, amount, period, burst)


def parse_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Return the limits that texts name.

    Raises:
        ValueError: a text names none, or two limit the same resource in the same period.
    """
    found: dict[tuple[str, str], Limit] = {}
    for text in texts:
        limit = parse_limit(text)
        if (limit.resource, limit.period) in found:
            raise ValueError(f"two limits on {limit.resource} a {limit.period}: leave one of them out")
        found[limit.resource, limit.period] = limit
    return tuple(found.values())
