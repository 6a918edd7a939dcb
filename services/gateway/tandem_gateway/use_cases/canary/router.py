"""Routes calls between two pools of embedders behind one ``Embedder``: stable, and a canary on trial.

A share of the calls goes to the canary. The router sends a call to the canary only if the canary is known to have the
model that the call needs, and discards an answer by another model: vectors of two models must never be mixed. If the
canary fails, stable answers the call within the caller's deadline, and the caller sees no failure.

A call for a model that only the canary has goes to the canary, whatever its share: a collection that was embedded with
the canary's model needs it for its documents and, after the switch, for its queries. Stable cannot stand in.

A share of stable's queries are also sent to the canary, as shadow calls. The caller gets stable's answer at once; the
router compares the canary's answer with it.

A canary that crosses a limit (see ``evaluation``) is rolled back: its weight becomes 0 until an operator sets it again.
The shadow share stays, so that operators can see whether the canary has recovered.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence

from tandem_contract.embed import Kind, Priority
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest
from tandem_gateway.ports.embedder import EmbedderPool
from tandem_gateway.records.chunking import Split
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.use_cases.canary.calls import FAILURES, Call
from tandem_gateway.use_cases.canary.evaluation import Breach
from tandem_gateway.use_cases.canary.records import CanaryEvents, CanarySettings, CanaryState, RollBack
from tandem_gateway.use_cases.canary.shadow_calls import ShadowCalls
from tandem_gateway.use_cases.canary.shares import capacity, drawn
from tandem_gateway.use_cases.canary.stats import CanaryStats

log = logging.getLogger(__name__)

# Seconds between two evaluations.
_EVALUATION_SECONDS = 0.25


class CanaryRouter:
    """Implements ``Embedder``; see the module. Without a canary, it passes every call to the stable pool."""

    def __init__(
        self,
        stable: EmbedderPool,
        canary: EmbedderPool | None,
        *,
        settings: CanarySettings,
        events: CanaryEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Make the router.

        Args:
            stable: pool that answers all calls that the canary does not.
            canary: pool on trial; None if there is none.
            settings: see ``CanarySettings``.
            events: see ``CanaryEvents``.
            clock: monotonic clock, in seconds.
            draw: returns random numbers from 0 to 1, 1 excluded.
        """
        self._stable = stable
        self._canary = canary
        self._attempt = settings.attempt
        self._weight = settings.canary_weight
        self._shadow = settings.shadow_percent
        self._events = events or CanaryEvents()
        self._clock = clock
        self._draw = draw
        self._stats = CanaryStats(settings.limits)
        self._evaluated_at = float("-inf")
        self._last_roll_back: RollBack | None = None
        self._untold_roll_back: RollBack | None = None
        """A rollback that ``take_roll_back`` has not returned."""
        self._stable_model: str | None = None
        """Fingerprint of stable's last answer."""
        self._shadow_calls: ShadowCalls | None = None
        if canary is not None:
            self._shadow_calls = ShadowCalls(canary, self._stats, self._events, clock, on_end=self._evaluate)
        self._events.set_shares(self._weight, self._shadow)

    @property
    def replicas(self) -> int:
        """Number of replicas by which callers multiply a per-replica limit; see ``capacity``."""
        if self._canary is None or not self._weight or not self._canary.up:
            return self._stable.replicas
        return capacity(self._stable.replicas, self._canary.replicas, self._weight)

    @property
    def model_tokens(self) -> int | None:
        """See ``Embedder.model_tokens``; of stable."""
        return self._stable.model_tokens

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind,
        priority: Priority,
        timeout: float,
        fingerprint: str | None = None,
        split: Split | None = None,
    ) -> Embeddings:
        """Return one vector per text; see ``Embedder.embed``."""
        if self._canary is None:
            found = await self._stable.embed(
                texts, kind=kind, priority=priority, timeout=timeout, fingerprint=fingerprint, split=split
            )
            self._events.answered("stable")
            return found
        call = Call(texts, kind, priority, fingerprint, split)
        if fingerprint is not None and self._only_canary_has(self._canary, fingerprint):
            found = await call.send(self._canary, timeout)
            self._events.answered("canary")
            return found
        until = self._clock() + timeout
        found = await self._by_share(self._canary, call, timeout)
        if fingerprint in (None, found.fingerprint) or not self._may_have(self._canary, fingerprint):
            return found
        return await self._by_unknown_canary(self._canary, call, until - self._clock()) or found

    async def _by_share(self, canary: EmbedderPool, call: Call, timeout: float) -> Embeddings:
        """Return the answer of the pool that the shares choose."""
        if self._weight and call.fingerprint is not None and drawn(self._weight, self._draw()):
            deadline = self._clock() + timeout
            answer = await self._by_canary(canary, call, timeout)
            if answer is not None:
                return answer
            timeout = deadline - self._clock()
            if timeout <= 0:
                raise DeadlineExceeded("the canary took all the time that there was")
        elif self._shadow and call.priority == "interactive" and drawn(self._shadow, self._draw()):
            return await self._with_shadow(call, timeout)
        return await self._by_stable(call, timeout)

    async def ready(self, *, timeout: float) -> bool:
        """Return whether the pools that get the traffic are ready."""
        if self._canary is None:
            return await self._stable.ready(timeout=timeout)
        stable, canary = await asyncio.gather(self._stable.ready(timeout=timeout), self._canary.ready(timeout=timeout))
        return stable or (canary and self._weight == 100)

    def change(self, canary_weight: int, shadow_percent: int | None = None) -> None:
        """Set the shares, in percent, and discard the observations; None leaves ``shadow_percent`` unchanged.

        Raises:
            InvalidRequest: a share is not from 0 to 100, or is above 0 although there is no canary.
        """
        shadow = self._shadow if shadow_percent is None else shadow_percent
        self.check(canary_weight, shadow)
        self._set(canary_weight, shadow)

    def check(self, canary_weight: int, shadow_percent: int) -> None:
        """Check shares; see ``change``."""
        for name, percent in (("canary_weight", canary_weight), ("shadow_percent", shadow_percent)):
            if not 0 <= percent <= 100:
                raise InvalidRequest(
                    f"{name}: a whole number from 0 to 100 was expected, not {percent}",
                    param=name,
                    code="limit_exceeded",
                )
            if percent and self._canary is None:
                raise InvalidRequest(f"{name}: there is no canary (TANDEM_CANARY_URL is not set)", param=name)

    def adopt(self, canary_weight: int, shadow_percent: int, rolled_back: RollBack | None) -> None:
        """Set the shares that another gateway has set or rolled back; 0 without a canary."""
        self._last_roll_back = rolled_back
        self._untold_roll_back = None
        shares = (canary_weight, shadow_percent) if self._canary is not None else (0, 0)
        if shares != (self._weight, self._shadow):
            self._set(*shares)

    @property
    def shadow_percent(self) -> int:
        """Percentage of stable's queries that the router also sends to the canary."""
        return self._shadow

    def take_roll_back(self) -> RollBack | None:
        """Return the last rollback if this was not called since, else None."""
        found, self._untold_roll_back = self._untold_roll_back, None
        return found

    def keep_roll_back(self, rolled_back: RollBack) -> None:
        """Let the next ``take_roll_back`` return a rollback again, unless there was another since."""
        self._untold_roll_back = self._untold_roll_back or rolled_back

    def _set(self, canary_weight: int, shadow: int) -> None:
        before, self._weight, self._shadow = (self._weight, self._shadow), canary_weight, shadow
        self._stats.forget()
        self._events.set_shares(canary_weight, shadow)
        log.info(
            "traffic shifted",
            extra={"from": before[0], "to": canary_weight, "shadow_from": before[1], "shadow_to": shadow},
        )

    def state(self) -> CanaryState:
        """Return the shares, the state of both pools, and the observations."""
        return CanaryState(
            self._weight,
            self._shadow,
            self._stable.state(),
            self._canary.state() if self._canary is not None else None,
            self._stats.evidence(self._clock()),
            self._last_roll_back,
        )

    async def stop(self) -> None:
        """Cancel the shadow calls in flight, and wait until they have ended."""
        if self._shadow_calls is not None:
            await self._shadow_calls.stop()

    def _only_canary_has(self, canary: EmbedderPool, fingerprint: str) -> bool:
        """Return whether the canary has a model, and stable is known to have another one."""
        if not canary.serves(fingerprint) or self._stable.serves(fingerprint):
            return False
        # A pool that is down does not say which model it has.
        return self._stable.up or self._stable_model not in (None, fingerprint)

    def _may_have(self, canary: EmbedderPool, fingerprint: str | None) -> bool:
        """Return whether the canary has a model, or has not said yet which one it has, as right after a start."""
        if fingerprint is None or not canary.up:
            return False
        unknown = any(each.served is None for each in canary.state().replicas if each.status == "serving")
        return unknown or canary.serves(fingerprint)

    async def _by_unknown_canary(self, canary: EmbedderPool, call: Call, timeout: float) -> Embeddings | None:
        """Return the canary's answer if it has the model that the call needs."""
        if timeout <= 0:
            return None
        try:
            found = await call.send(canary, timeout)
        except FAILURES:
            return None
        if found.fingerprint != call.fingerprint:
            return None
        self._events.answered("canary")
        return found

    # the canary's share

    async def _by_canary(self, canary: EmbedderPool, call: Call, timeout: float) -> Embeddings | None:
        """Return the canary's answer; None if stable must answer."""
        assert call.fingerprint is not None
        if not canary.up:
            self._stats.canary(self._clock(), None, failed=True)
            self._fall_back("down")
            return None
        if not canary.serves(call.fingerprint):
            self._events.fell_back("model")
            return None
        limit = timeout
        if self._stable.up:
            limit = min(timeout / 2, self._attempt) if call.priority == "interactive" else timeout / 2
        started = self._clock()
        try:
            found = await call.send(canary, limit)
        except FAILURES as error:
            # A timeout shorter than ``attempt`` does not count: it says nothing about the canary.
            if not isinstance(error, DeadlineExceeded) or limit >= self._attempt:
                self._stats.canary(self._clock(), None, failed=True)
            if limit == timeout and isinstance(error, DeadlineExceeded):
                raise
            self._fall_back(type(error).__name__)
            return None
        now = self._clock()
        if found.fingerprint != call.fingerprint:
            self._stats.canary(now, None, failed=True)
            self._fall_back("model")
            return None
        self._stats.canary(now, now - started if call.priority == "interactive" else None)
        self._events.answered("canary")
        self._evaluate(now)
        return found

    def _fall_back(self, reason: str) -> None:
        self._events.fell_back(reason)
        self._evaluate(self._clock())

    async def _by_stable(self, call: Call, timeout: float) -> Embeddings:
        started = self._clock()
        observed = self._weight or self._shadow
        try:
            found = await call.send(self._stable, timeout)
        except FAILURES:
            if observed:
                self._stats.stable(self._clock(), None, failed=True)
            raise
        if observed:
            now = self._clock()
            self._stats.stable(now, now - started if call.priority == "interactive" else None)
        self._events.answered("stable")
        self._stable_model = found.fingerprint
        return found

    async def _with_shadow(self, call: Call, timeout: float) -> Embeddings:
        assert self._shadow_calls is not None
        result = self._shadow_calls.start(call, timeout)
        if result is None:
            found = await self._by_stable(call, timeout)
            self._events.shadowed("ok", "dropped")
            return found
        started = self._clock()
        try:
            found = await self._by_stable(call, timeout)
        except BaseException as error:
            if not result.done():
                result.set_result(type(error).__name__)
            raise
        if not result.done():
            result.set_result((found, self._clock() - started))
        return found

    # rollback

    def _evaluate(self, now: float) -> None:
        if not self._weight or now - self._evaluated_at < _EVALUATION_SECONDS:
            return
        self._evaluated_at = now
        found = self._stats.verdict(now)
        # While stable is down as well, a rollback would leave no pool to answer.
        if found is not None and self._stable.up:
            self._roll_back(found)

    def _roll_back(self, found: Breach) -> None:
        before, self._weight = self._weight, 0
        self._last_roll_back = self._untold_roll_back = RollBack(time.time(), found.reason, found.detail, before)
        self._stats.forget()
        self._events.set_shares(0, self._shadow)
        self._events.rolled_back(found.reason)
        log.error("canary rolled back", extra={"reason": found.reason, "detail": found.detail, "from": before, "to": 0})
