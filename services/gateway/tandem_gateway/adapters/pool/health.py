"""Ejection of failing replicas, and their return: pure functions that take the clock as an argument.

::

    serving ──unreachable, answers 503, or three other failures in a row──> ejected
    ejected ──the ejection time is over and /readyz is ready, or a call succeeds──> serving

The ejection time doubles with each ejection, up to a maximum. It is short again after a while without an ejection. A
success does not end an ejection if the call began before it: an embedder that shuts down still answers the calls that
it has accepted.
"""

from dataclasses import dataclass, replace
from typing import Literal

Failure = Literal["unavailable", "late", "broken"]
"""``unavailable``: it cannot be reached or is not ready. ``late``: no answer in time. ``broken``: an invalid reply."""

Probe = Literal["ready", "not_ready", "unreachable", "late", "token_refused"]
"""Result of a request to /readyz. ``token_refused``: it is ready, and would refuse the gateway's calls."""


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """When and for how long replicas are ejected; times are in seconds."""

    failures: int = 3
    """Number of late or broken replies in a row that eject a replica; an unavailable replica is ejected at once."""
    base: float = 1.0
    """Duration of the first ejection."""
    most: float = 30.0
    """Maximum duration of an ejection."""
    forgiven_after: float = 60.0
    """Time without an ejection after which the next ejection has the ``base`` duration again."""


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one replica; times are seconds of the monotonic clock."""

    failures: int = 0
    """Number of failures in a row."""
    ejections: int = 0
    """Number of ejections that still count for the duration of the next one."""
    ejected: bool = False
    since: float = 0.0
    """Time of the last ejection or of the last return to rotation."""
    until: float = 0.0
    """Earliest time at which a probe may end the ejection."""


def succeeded(health: Health, started: float, now: float, policy: EjectionPolicy) -> Health:
    """Return the health after a call that was answered; ``started`` is the time at which the call began."""
    if health.ejected:
        return _readmitted(health, now) if started > health.since else health
    if not health.failures and not health.ejections:
        return health
    forgiven = now - health.since >= policy.forgiven_after
    if not health.failures and not forgiven:
        return health
    return replace(health, failures=0, ejections=0 if forgiven else health.ejections)


def failed(health: Health, failure: Failure, started: float, now: float, policy: EjectionPolicy) -> Health:
    """Return the health after a call that failed; ``started`` is the time at which the call began."""
    if health.ejected:
        # The pool called it because no replica serves. Renew its ejection time, so that the pool tries all in turn.
        return replace(health, since=now) if started > health.since else health
    failures = health.failures + 1
    if failure != "unavailable" and failures < policy.failures:
        return replace(health, failures=failures)
    span = min(policy.most, policy.base * 2.0 ** min(health.ejections, 30))
    return Health(0, health.ejections + 1, True, now, now + span)


def probed(health: Health, found: Probe, now: float, policy: EjectionPolicy) -> Health:
    """Return the health after a probe."""
    if found == "ready":
        return _readmitted(health, now) if health.ejected and now >= health.until else health
    if health.ejected:
        return health
    return failed(health, "late" if found == "late" else "unavailable", now, now, policy)


def _readmitted(health: Health, now: float) -> Health:
    return Health(0, health.ejections, False, now, now)
