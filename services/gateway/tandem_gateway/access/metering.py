"""The accounts of all callers, and their usage by day, which is saved every few seconds.

A crash loses the usage of at most ``SAVE_SECONDS``, and the time that one save takes.

Several gateways may use one store. Each then saves every ``SHARED_SECONDS`` and reads what the others have saved, so
that a limit counts the uses at all of them. A caller that asks N gateways at once may use up to N times its burst
before they know of each other. The excess becomes a debt, so that the rate holds over a longer time.
"""

import asyncio
import heapq
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tandem_gateway.access.accounts import DAY_SECONDS, Account, Clocks
from tandem_gateway.access.principal import Principal
from tandem_gateway.errors import InvalidRequest, StorageError, for_log
from tandem_gateway.ports.keys import KeyStore
from tandem_gateway.records.access import Usage, UsageKey
from tandem_gateway.records.limits import Limit, Resource

log = logging.getLogger(__name__)

SAVE_SECONDS: Final = 5.0
SHARED_SECONDS: Final = 1.0
MAX_ACCOUNTS: Final = 10_000
"""Maximum number of callers whose allowances are remembered. A forgotten caller has its full allowances again."""
MAX_ROWS: Final = 10_000
"""Maximum number of entries of a list of usage."""
MAX_JOBS: Final = 100_000
"""Jobs whose callers are known at most; the tokens of older ones count for nobody."""
_NOTHING: Final = Usage()


@dataclass(frozen=True, slots=True)
class MeteringEvents:
    """Callbacks for metrics."""

    used: Callable[[str, Usage], None] = lambda caller, usage: None
    """A caller has used this since the last save."""
    refused: Callable[[Resource], None] = lambda resource: None
    """A limit refused a request."""


class Metering:
    """The accounts of a running gateway. ``load`` and ``close`` block; the rest belongs to the event loop."""

    def __init__(
        self,
        store: KeyStore,
        limits: tuple[Limit, ...] = (),
        *,
        keep_days: int = 90,
        shared: bool = False,
        events: MeteringEvents | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        """Make it; ``load`` reads what was used today.

        Args:
            store: keeps the usage.
            limits: of every caller without limits of its own.
            keep_days: number of days for which the usage is kept.
            shared: whether other gateways use the store.
            events: see ``MeteringEvents``.
            clocks: see ``Clocks``.
        """
        self._store = store
        self._limits = limits
        self._keep_days = keep_days
        self._shared = shared
        self._events = events or MeteringEvents()
        self._clocks = clocks or Clocks()
        self._accounts: dict[str, Account] = {}
        self._saved: tuple[int, dict[str, Usage]] = (self.today, {})
        self._unsaved: dict[UsageKey, Usage] = {}
        self._jobs: dict[str, str] = {}
        """Job → caller, the oldest first."""
        self._forgotten_before = 0
        self._storing = threading.Lock()
        self._saved_here: dict[UsageKey, Usage] = {}
        """What this gateway has saved of one day."""
        self._elsewhere: tuple[int, dict[str, Usage]] = (self.today, {})
        """A day, and the usage of callers that other gateways, and former ones, have saved."""

    @property
    def today(self) -> int:
        """The day, in days since the epoch in UTC."""
        return int(self._clocks.wall() // DAY_SECONDS)

    def load(self) -> None:
        """Read what was used today; blocks.

        Raises:
            StorageError: it cannot be read.
        """
        today = self.today
        self._saved = today, {caller: usage for (_, caller), usage in self._store.usage(today, today).items()}
        self._elsewhere = self._saved

    def account(self, principal: Principal) -> Account:
        """Return the account of a caller."""
        account = self._accounts.get(principal.id)
        limits = self._limits if principal.limits is None else principal.limits
        if account is None:
            account = self._open(principal.id, limits)
        elif account.limits is not limits and account.limits != limits:
            account.limit_to(limits)
        account.last = self._clocks.steady()
        return account

    def spent_on(self, job: str, tokens: int) -> None:
        """Count tokens that a model read for a job, for the caller of the job if it is known."""
        caller = self._jobs.get(job)
        if caller is not None:
            (self._accounts.get(caller) or self._open(caller, self._limits)).spent(tokens)

    async def follow(self) -> None:
        """Save the usage every few seconds until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(SHARED_SECONDS if self._shared else SAVE_SECONDS)
            try:
                await self.save()
                if self._shared:
                    await self.learn()
                failing = False
            except StorageError as error:
                if not failing:
                    log.error("the usage cannot be saved; it is kept in memory", extra={"error": for_log(error)})
                failing = True

    async def save(self) -> None:
        """Save the usage so far.

        Raises:
            StorageError: it was not saved. The next save includes it.
        """
        unsaved = self._collect()
        if not unsaved:
            return
        self._unsaved = {}
        saving = asyncio.ensure_future(asyncio.to_thread(self._write, unsaved))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            # The thread cannot be interrupted. ``close`` must not write again what it has written.
            await asyncio.gather(saving, return_exceptions=True)
            if saving.exception() is not None:
                self._keep(unsaved)
            raise
        except BaseException:
            self._keep(unsaved)
            raise

    async def learn(self) -> None:
        """Count what callers have used at other gateways since the last time.

        Raises:
            StorageError: it cannot be read.
        """
        today = self.today
        elsewhere, total = await asyncio.to_thread(self._read_others, today)
        day, before = self._elsewhere
        for caller, usage in elsewhere.items():
            known = before.get(caller, _NOTHING) if day == today else _NOTHING
            if usage != known and caller in self._accounts:
                self._accounts[caller].used_elsewhere(usage - known)
        self._elsewhere = today, elsewhere
        self._saved = today, total

    def _read_others(self, today: int) -> tuple[dict[str, Usage], dict[str, Usage]]:
        """Return today's usage of callers that others have saved, and all of it."""
        with self._storing:
            total = {caller: usage for (_, caller), usage in self._store.usage(today, today).items()}
            return {name: usage - self._saved_here.get((today, name), _NOTHING) for name, usage in total.items()}, total

    async def usage(self, first: int, last: int, caller: str | None = None) -> Mapping[UsageKey, Usage]:
        """Return what callers used on the days from ``first`` to ``last``, up to now.

        Args:
            first: in days since the epoch in UTC.
            last: likewise; included.
            caller: id of one caller; None for all.

        Raises:
            InvalidRequest: ``last`` is before ``first``, or there are more than ``MAX_ROWS``.
            StorageError: it cannot be read.
        """
        if last < first:
            raise InvalidRequest("to: a day that is not before 'from' was expected", param="to")
        await self.save()
        found = await asyncio.to_thread(self._store.usage, first, last, caller, MAX_ROWS + 1)
        if len(found) > MAX_ROWS:
            raise InvalidRequest(
                f"from: these days have more than {MAX_ROWS} entries, the limit; ask for fewer days or one key",
                param="from",
                code="limit_exceeded",
            )
        return found

    def close(self) -> None:
        """Save the usage; blocks. No request is answered any more."""
        unsaved = self._collect()
        if unsaved:
            try:
                self._write(unsaved)
            except StorageError as error:
                log.warning("the usage since the last save is lost", extra={"error": for_log(error)})

    def _note_job(self, caller: str, job: str) -> None:
        self._jobs[job] = caller
        if len(self._jobs) > MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]

    def _open(self, caller: str, limits: tuple[Limit, ...]) -> Account:
        if len(self._accounts) >= MAX_ACCOUNTS:
            self._collect()
            for old in heapq.nsmallest(MAX_ACCOUNTS // 10, self._accounts.values(), key=lambda each: each.last):
                del self._accounts[old.id]
        day, saved = self._saved
        today = saved.get(caller, _NOTHING) if day == self.today else _NOTHING
        account = Account(
            caller, limits, self._clocks, today=today, on_refused=self._events.refused, on_job=self._note_job
        )
        self._accounts[caller] = account
        return account

    def _collect(self) -> dict[UsageKey, Usage]:
        """Return everything that is not saved."""
        for caller, account in self._accounts.items():
            for day, usage in account.take_unsaved().items():
                self._events.used(caller, usage)
                self._unsaved[day, caller] = self._unsaved.get((day, caller), _NOTHING) + usage
        return self._unsaved

    def _keep(self, unsaved: Mapping[UsageKey, Usage]) -> None:
        for key, usage in unsaved.items():
            self._unsaved[key] = self._unsaved.get(key, _NOTHING) + usage

    def _write(self, unsaved: Mapping[UsageKey, Usage]) -> None:
        with self._storing:
            self._store.add_usage(unsaved)
            self._saved_here = {key: usage for key, usage in self._saved_here.items() if key[0] >= self.today}
            for key, usage in unsaved.items():
                self._saved_here[key] = self._saved_here.get(key, _NOTHING) + usage
        before = self.today - self._keep_days + 1
        if before > self._forgotten_before:
            self._store.forget_usage(before)
            self._forgotten_before = before
