"""Who is left out, for how long, and when it takes part again: pure, with the clock as an argument.

::

    serving ──unreachable, answers 503, or three other failures in a row──> ejected
    ejected ──its time is over and /readyz says yes, or a call to it succeeds──> serving

The time doubles with each ejection, up to a bound, and is forgotten after a while without one. An answer to a call from
before the ejection proves nothing: an embedder that is shutting down still answers what it had accepted.
"""

from dataclasses import dataclass, replace
from typing import Literal

Failure = Literal["unavailable", "late", "broken"]
"""It cannot be reached or says that it is not ready; it did not answer in time; it answered nonsense."""

Probe = Literal["ready", "not_ready", "unreachable", "late"]
"""What asking for /readyz has shown."""


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """Times are in seconds."""

    failures: int = 3
    """Late or broken answers in a row that eject; what cannot be reached is ejected at once."""
    base: float = 1.0
    """Time of the first ejection."""
    most: float = 30.0
    forgiven_after: float = 60.0
    """Time without an ejection after which the next one is short again."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one replica; times are in seconds of the monotonic clock."""

    failures: int = 0
    """In a row."""
    ejections: int = 0
    """Those that are not forgiven."""
    ejected: bool = False
    since: float = 0.0
    """When it was ejected last, or took part again."""
    until: float = 0.0
    """When a probe may end the ejection."""


def succeeded(health: Health, started: float, now: float, policy: EjectionPolicy) -> Health:
    """Return what is known after a call that was answered; ``started`` is when it began."""
    if health.ejected:
        return _readmitted(health, now) if started > health.since else health
    if not health.failures and not health.ejections:
        return health
    forgiven = now - health.since >= policy.forgiven_after
    if not health.failures and not forgiven:
        return health
    return replace(health, failures=0, ejections=0 if forgiven else health.ejections)


def failed(health: Health, failure: Failure, started: float, now: float, policy: EjectionPolicy) -> Health:
    """Return what is known after a call that failed."""
    if health.ejected:
        # Asked because nobody serves: it goes to the end of the row, so that all are asked in turn.
        return replace(health, since=now) if started > health.since else health
    failures = health.failures + 1
    if failure != "unavailable" and failures < policy.failures:
        return replace(health, failures=failures)
    span = min(policy.most, policy.base * 2.0 ** min(health.ejections, 30))
    return Health(0, health.ejections + 1, True, now, now + span)


def probed(health: Health, found: Probe, now: float, policy: EjectionPolicy) -> Health:
    """Return what is known after a probe."""
    if found == "ready":
        return _readmitted(health, now) if health.ejected and now >= health.until else health
    if health.ejected:
        return health
    return failed(health, "late" if found == "late" else "unavailable", now, now, policy)


def _readmitted(health: Health, now: float) -> Health:
    return Health(0, health.ejections, False, now, now)
