"""Which token is verified again, and which is answered from what is kept."""

from collections.abc import Mapping
from typing import Any

import pytest

from tandem_gateway.access import tokens
from tandem_gateway.access.token_claims import ClaimRules
from tandem_gateway.access.tokens import TokenAuthentication, is_token
from tandem_gateway.ports.tokens import ClaimsRefused, RefusalReason, TokenRefused, VerifiedToken

CLAIMS = {"sub": "someone", "tandem_role": "search", "tandem_collections": ["*"]}


class Verifier:
    """Verifies what a test says; counts its calls."""

    def __init__(self) -> None:
        self.valid: dict[bytes, Mapping[str, Any]] = {}
        self.keys = {b"key"}
        self.learnt: list[bytes] = []
        self.expires_at = 1100.0
        self.reason: RefusalReason = "unknown_key"
        self.verified = 0
        self.asked = 0

    def verify(self, token: bytes) -> VerifiedToken:
        self.verified += 1
        if token not in self.valid:
            raise TokenRefused(self.reason)
        return VerifiedToken(self.valid[token], self.expires_at, b"key")

    def holds(self, key: bytes) -> bool:
        return key in self.keys

    async def learn_keys(self) -> None:
        self.asked += 1
        self.valid.update(dict.fromkeys(self.learnt, CLAIMS))

    async def follow(self) -> None:
        raise AssertionError("not here")


class Checked:
    def __init__(self) -> None:
        self.now = 1000.0
        self.verifier = Verifier()
        self.verifier.valid[b"a.b.c"] = CLAIMS
        self.tokens = TokenAuthentication(self.verifier, ClaimRules(), lambda: self.now)

    async def reason(self, token: bytes = b"a.b.c") -> str | None:
        try:
            await self.tokens.authenticate(token)
        except TokenRefused as refused:
            return refused.reason
        return None


async def test_a_token_is_verified_once():
    checked = Checked()
    first = await checked.tokens.authenticate(b"a.b.c")
    assert await checked.tokens.authenticate(b"a.b.c") is first
    assert (first.id, first.role, checked.verifier.verified) == ("jwt:someone", "search", 1)
    assert await checked.reason(b"a.b.d") == "unknown_key"


async def test_a_kept_token_ends_with_its_time():
    checked = Checked()
    assert await checked.reason() is None
    checked.verifier.valid.clear()
    checked.verifier.reason = "expired"
    checked.now = 1099.9
    assert await checked.reason() is None
    checked.now = 1100.0
    assert await checked.reason() == "expired"
    checked.now = 1000.0
    assert await checked.reason() == "expired"  # it was forgotten


async def test_a_kept_token_ends_with_its_key():
    checked = Checked()
    assert await checked.reason() is None
    checked.verifier.valid.clear()
    checked.verifier.keys.clear()
    assert await checked.reason() == "unknown_key"


@pytest.mark.parametrize("reason", ["unknown_key", "no_keys"])
async def test_an_unknown_key_is_asked_for_once(reason: RefusalReason):
    checked = Checked()
    checked.verifier.reason = reason
    checked.verifier.learnt = [b"n.e.w"]
    assert await checked.reason(b"n.e.w") is None
    assert await checked.reason(b"o.l.d") == reason
    assert checked.verifier.asked == 2


@pytest.mark.parametrize("reason", ["signature", "expired", "algorithm", "malformed"])
async def test_another_reason_asks_for_no_keys(reason: RefusalReason):
    checked = Checked()
    checked.verifier.reason = reason
    assert await checked.reason(b"o.l.d") == reason
    assert checked.verifier.asked == 0


async def test_a_token_that_allows_nothing_is_not_kept():
    checked = Checked()
    checked.verifier.valid[b"n.o.t"] = {**CLAIMS, "tandem_role": "root"}
    for _ in range(2):
        with pytest.raises(ClaimsRefused):
            await checked.tokens.authenticate(b"n.o.t")
    assert checked.verifier.verified == 2


async def test_what_is_kept_has_a_limit_in_tokens_and_in_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "MAX_KEPT", 2)
    checked = Checked()
    short = [b"a.b.%d" % number for number in range(3)]
    checked.verifier.valid.update(dict.fromkeys(short, CLAIMS))
    for token in short:
        await checked.tokens.authenticate(token)
    assert checked.verifier.verified == 3
    await checked.tokens.authenticate(short[2])
    await checked.tokens.authenticate(short[1])
    assert checked.verifier.verified == 3
    await checked.tokens.authenticate(short[0])
    assert checked.verifier.verified == 4
    monkeypatch.setattr(tokens, "MAX_KEPT_BYTES", 20)
    long = b"a.b." + b"c" * 16
    checked.verifier.valid[long] = CLAIMS
    await checked.tokens.authenticate(long)
    await checked.tokens.authenticate(long)
    assert checked.verifier.verified == 5
    await checked.tokens.authenticate(short[0])
    assert checked.verifier.verified == 6


def test_a_token_has_three_parts():
    assert is_token(b"a.b.c")
    for other in (b"", b"tandem_0123456789ab_x", b"a.b", b"a.b.c.d", b"a.b.c.d.e"):
        assert not is_token(other)
