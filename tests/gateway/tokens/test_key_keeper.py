"""When a JWKS is fetched, and which keys count meanwhile."""

import asyncio
from collections.abc import Callable

import pytest

from tandem_gateway.adapters.jwt.key_keeper import JwksUnavailable, KeyKeeper, RefreshPolicy
from tandem_gateway.ports.tokens import TokenRefused
from tests.support.fakes import WAIT_SECONDS
from tests.support.issuing import jwk, key_set, private_key

POLICY = RefreshPolicy(refresh=300, interval=10, max_age=1000, timeout=60)
FIRST = key_set(jwk(private_key("RS256"), "first"))
SECOND = key_set(jwk(private_key("RS256", 1), "second"))


class Source:
    """A source that a test can hold and break."""

    def __init__(self, content: bytes | Exception = FIRST) -> None:
        self.content = content
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()

    async def read(self) -> bytes:
        self.reads += 1
        await self.open.wait()
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


class Kept:
    """A keeper on a clock of its own."""

    def __init__(self, content: bytes | Exception = FIRST, policy: RefreshPolicy = POLICY) -> None:
        self.now = 1000.0
        self.source = Source(content)
        self.seen: list[tuple[bool | None, int]] = []
        self.looked_at = asyncio.Event()
        self.keeper = KeyKeeper(self.source, ["RS256"], policy, self._see, lambda: self.now)

    def _see(self, good: bool | None, keys: int) -> None:
        self.seen.append((good, keys))
        self.looked_at.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a fetch makes a condition true."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self.looked_at.clear()
                await self.looked_at.wait()

    def reason(self, kid: str) -> str | None:
        """Return why a key is not found; None if it is."""
        try:
            self.keeper.find(kid, "RS256")
        except TokenRefused as refused:
            return refused.reason
        return None


async def test_before_the_first_fetch_there_is_no_key():
    kept = Kept()
    assert kept.reason("first") == "no_keys"
    await kept.keeper.learn()
    assert (kept.reason("first"), kept.reason("second")) == (None, "unknown_key")
    assert kept.seen == [(True, 1)]


async def test_an_unknown_key_is_fetched_at_most_once_in_an_interval():
    kept = Kept()
    await kept.keeper.learn()
    kept.source.content = SECOND
    await kept.keeper.learn()
    kept.now += POLICY.interval - 0.1
    await kept.keeper.learn()
    assert (kept.source.reads, kept.reason("second")) == (1, "unknown_key")
    kept.now += 0.1
    await kept.keeper.learn()
    assert (kept.source.reads, kept.reason("second")) == (2, None)


async def test_a_key_that_the_issuer_withdraws_stops_counting():
    kept = Kept()
    await kept.keeper.fetch()
    fingerprint = kept.keeper.find("first", "RS256").fingerprint
    assert kept.keeper.holds(fingerprint)
    kept.source.content = SECOND
    await kept.keeper.fetch()
    assert not kept.keeper.holds(fingerprint)
    assert kept.reason("first") == "unknown_key"


async def test_another_key_with_the_same_id_is_another_key():
    kept = Kept()
    await kept.keeper.fetch()
    fingerprint = kept.keeper.find("first", "RS256").fingerprint
    kept.source.content = key_set(jwk(private_key("RS256", 1), "first"))
    await kept.keeper.fetch()
    assert not kept.keeper.holds(fingerprint)


async def test_many_requests_wait_for_one_fetch():
    kept = Kept()
    kept.source.open.clear()
    waiting = [asyncio.create_task(kept.keeper.learn()) for _ in range(100)]
    for _ in range(5):
        await asyncio.sleep(0)
    waiting[0].cancel()  # a client that goes away does not end it for the others
    kept.source.open.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, *[type(None)] * 99]
    assert (kept.source.reads, kept.reason("first")) == (1, None)


@pytest.mark.parametrize(
    "broken", [JwksUnavailable("status 503"), b"<html>", key_set(), RuntimeError("a bug"), OSError("no route")]
)
async def test_while_fetches_fail_known_keys_count_up_to_their_age_and_no_others(
    broken: bytes | Exception, caplog: pytest.LogCaptureFixture
):
    kept = Kept()
    await kept.keeper.fetch()
    kept.source.content = broken
    kept.now += POLICY.max_age
    await kept.keeper.fetch()
    assert (kept.reason("first"), kept.reason("second")) == (None, "unknown_key")
    kept.now += 0.1
    assert kept.reason("first") == "no_keys"
    assert "too old" in caplog.text
    await kept.keeper.fetch()
    assert "every JWT is refused" in caplog.text
    assert kept.seen == [(True, 1), (False, 1), (None, 0), (False, 0)]
    kept.source.content = FIRST
    await kept.keeper.fetch()
    assert kept.reason("first") is None
    assert kept.seen[-1] == (True, 1)


async def test_a_fetch_has_a_deadline(caplog: pytest.LogCaptureFixture):
    kept = Kept(policy=RefreshPolicy(refresh=300, interval=10, max_age=1000, timeout=0.01))
    kept.source.open.clear()
    await kept.keeper.learn()
    assert kept.reason("first") == "no_keys"
    assert kept.seen == [(False, 0)]
    assert "no key counts" in caplog.text


async def test_it_follows_the_issuer_until_it_is_cancelled():
    kept = Kept(JwksUnavailable("down"), RefreshPolicy(refresh=0.001, interval=0.001, max_age=1000, timeout=60))
    following = asyncio.create_task(kept.keeper.follow())
    await kept.until(lambda: len(kept.seen) >= 2)
    kept.source.content = FIRST
    await kept.until(lambda: kept.reason("first") is None)
    kept.source.content = SECOND
    await kept.until(lambda: kept.reason("second") is None)
    kept.source.open.clear()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
