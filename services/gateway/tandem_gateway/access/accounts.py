"""What one caller has used and may still use. The clocks are arguments of the constructor; nothing here does I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tandem_gateway.access.pacing import OF_A_CALLER, Pace
from tandem_gateway.access.rates import ROUNDING, Rate, available, used, wait
from tandem_gateway.errors import InvalidRequest, RateLimited
from tandem_gateway.records.access import Usage
from tandem_gateway.records.limits import RESOURCES, Limit, Resource
from tandem_gateway.use_cases import caller

DAY_SECONDS: Final = 86_400
_PLACE: Final[dict[Resource, int]] = {resource: place for place, resource in enumerate(RESOURCES)}
_REQUESTS: Final = _PLACE["requests"]
_TOKENS: Final = _PLACE["tokens"]


@dataclass(frozen=True, slots=True)
class Clocks:
    """``steady`` returns seconds and never goes back; ``wall`` returns seconds since the epoch."""

    steady: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Standing(NamedTuple):
    """How much of a limit is left, in whole units, and after how many seconds all of it is."""

    limit: Limit
    left: int
    seconds: int


class _Allowance:
    """A rate limit and its state; see ``rates``."""

    __slots__ = ("full_at", "limit", "rate")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.rate = Rate(limit.amount / limit.seconds, limit.burst)
        self.full_at = 0.0


class Account:
    """The usage of one caller; one event loop owns it."""

    __slots__ = (
        "_clocks",
        "_daily",
        "_day",
        "_on_job",
        "_rates",
        "_today",
        "_unsaved",
        "id",
        "last",
        "limits",
        "on_refused",
        "refusals",
    )

    def __init__(
        self,
        id: str,
        limits: tuple[Limit, ...],
        clocks: Clocks,
        *,
        today: Usage,
        on_refused: Callable[[Resource], None] = lambda resource: None,
        on_job: Callable[[str, str], None] = lambda caller, job: None,
    ) -> None:
        """Make the account of a caller with full allowances.

        Args:
            id: id of the caller.
            limits: what the caller may use.
            clocks: see ``Clocks``.
            today: what the caller has used today, as far as it is saved.
            on_refused: called when a limit refuses a use.
            on_job: takes the caller and a job whose documents are embedded for it.
        """
        self.id = id
        self.limits: tuple[Limit, ...] = ()
        self.last = clocks.steady()
        """When the account was last asked for, in seconds of the steady clock."""
        self.on_refused = on_refused
        self._on_job = on_job
        self._clocks = clocks
        self._rates: list[list[_Allowance]] = [[], [], []]
        self._daily: list[list[Limit]] = [[], [], []]
        self._day = int(clocks.wall() // DAY_SECONDS)
        self._today = [today.requests, today.tokens, today.documents]
        self._unsaved: dict[int, list[int]] = {}
        self.refusals = Pace(OF_A_CALLER, clocks.steady)
        """How long the answers to the caller's refused requests wait."""
        self.limit_to(limits)

    def limit_to(self, limits: tuple[Limit, ...]) -> None:
        """Replace the limits; a rate that stays the same keeps its state."""
        before = {each.limit: each for allowances in self._rates for each in allowances}
        self.limits = limits
        self._rates = [[], [], []]
        self._daily = [[], [], []]
        for limit in limits:
            place = _PLACE[limit.resource]
            if limit.daily:
                self._daily[place].append(limit)
            else:
                self._rates[place].append(before.get(limit) or _Allowance(limit))

    def request(self) -> None:
        """Use one request.

        Raises:
            RateLimited: a limit does not allow it; nothing is used.
        """
        self._check(_REQUESTS, 1)
        self._count(_REQUESTS, 1)

    def use(self, resource: Resource, units: int) -> None:
        """Use units of a resource.

        Raises:
            RateLimited: a limit does not allow them now; nothing is used.
            InvalidRequest: a limit never allows so many at once.
        """
        place = _PLACE[resource]
        self._check(place, units)
        self._count(place, units)

    def check_tokens(self) -> None:
        """Check that the caller may use a token; how many a text has is known only when it was embedded.

        Raises:
            RateLimited: a limit does not allow it now.
        """
        self._check(_TOKENS, 1)

    def spent(self, tokens: int) -> None:
        """Count tokens that were used. They may lead to a debt, which has to be back before more are allowed."""
        self._count(_TOKENS, tokens)

    def used_elsewhere(self, usage: Usage) -> None:
        """Count what the caller has used today at other gateways; it may lead to a debt, and is not saved again."""
        now = self._clocks.steady()
        self._turn()
        for place, units in enumerate((usage.requests, usage.tokens, usage.documents)):
            if units:
                self._today[place] += units
                for allowance in self._rates[place]:
                    allowance.full_at = used(allowance.full_at, now, units, allowance.rate)

    def give_back(self, resource: Resource, units: int) -> None:
        """Undo a use that had no effect."""
        self._count(_PLACE[resource], -units)

    def owns(self, job: str) -> None:
        """Note that the documents of a job are embedded for the caller."""
        self._on_job(self.id, job)

    def tightest(self) -> Standing | None:
        """Return the limit of which the smallest share is left; None without limits."""
        now, found, least = self._clocks.steady(), None, 2.0
        for allowances in self._rates:
            for allowance in allowances:
                left = available(allowance.full_at, now, allowance.rate)
                share = left / allowance.limit.burst
                if share < least:
                    least = share
                    found = Standing(allowance.limit, max(0, int(left + ROUNDING)), _up(allowance.full_at - now))
        for place, limits in enumerate(self._daily):
            for limit in limits:
                self._turn()
                rest = max(0, limit.amount - self._today[place])
                if rest / limit.amount < least:
                    least = rest / limit.amount
                    found = Standing(limit, rest, _up(self._midnight()))
        return found

    def take_unsaved(self) -> dict[int, Usage]:
        """Return day → usage that was not returned before."""
        unsaved, self._unsaved = self._unsaved, {}
        return {day: Usage(*counts) for day, counts in unsaved.items()}

    def _check(self, place: int, units: int) -> None:
        if self._rates[place]:
            now = self._clocks.steady()
            for allowance in self._rates[place]:
                if available(allowance.full_at, now, allowance.rate) < units - ROUNDING:
                    self._refuse(allowance.limit, units, wait(allowance.full_at, now, units, allowance.rate))
        if self._daily[place]:
            self._turn()
            for limit in self._daily[place]:
                if self._today[place] + units > limit.amount:
                    self._refuse(limit, units, self._midnight())

    def _refuse(self, limit: Limit, units: int, seconds: float) -> None:
        if units > limit.burst:
            raise InvalidRequest(
                f"{limit.resource}: this key may use at most {limit.burst} at once ({limit}), and the request has "
                f"{units}; send fewer",
                param=limit.resource,
                code="limit_exceeded",
            )
        self.on_refused(limit.resource)
        raise RateLimited(
            f"{limit.resource}: this key may use {limit.amount} {limit.resource} per {limit.period} ({limit}); try "
            f"again in {_up(seconds)} s",
            param=limit.resource,
            retry_after=seconds,
        )

    def _count(self, place: int, units: int) -> None:
        if self._rates[place]:
            now = self._clocks.steady()
            for allowance in self._rates[place]:
                allowance.full_at = used(allowance.full_at, now, units, allowance.rate)
        self._turn()
        self._today[place] += units
        unsaved = self._unsaved.get(self._day)
        if unsaved is None:
            unsaved = self._unsaved[self._day] = [0, 0, 0]
        unsaved[place] += units

    def _turn(self) -> None:
        """Begin to count again if the day has changed."""
        day = int(self._clocks.wall() // DAY_SECONDS)
        if day != self._day:
            self._day = day
            self._today = [0, 0, 0]

    def _midnight(self) -> float:
        """Return the seconds until the day ends, in UTC."""
        return (self._day + 1) * DAY_SECONDS - self._clocks.wall()


def _up(seconds: float) -> int:
    """Return whole seconds, rounded up; at least 0."""
    return max(0, -int(-seconds // 1))


def metered_caller() -> Account | None:
    """Return the account of the current request's caller; None if nobody counts its usage."""
    found = caller.current.get()
    return found if isinstance(found, Account) else None
