"""Which tokens are valid: real ones of every algorithm, and attacks."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest

from tandem_gateway.adapters.jwt.keys import KeySet, VerificationKey, parse_key_set, secret_key
from tandem_gateway.adapters.jwt.verifier import FixedKeys, Issuer, JwtVerifier
from tandem_gateway.ports.tokens import MAX_TOKEN_BYTES, TokenRefused
from tests.support.issuing import (
    ASYMMETRIC,
    AUDIENCE,
    ISSUER,
    SECRET,
    claims,
    jwk,
    key_set,
    private_key,
    public_pem,
    token,
)

LEEWAY = 30


class Set:
    """The keys of a JWKS, without a fetch."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys

    def find(self, kid: str | None, algorithm: str) -> VerificationKey:
        found = self.keys.find(kid, algorithm)
        if found is None:
            raise TokenRefused("unknown_key")
        return found

    def holds(self, fingerprint: bytes) -> bool:
        return self.keys.holds(fingerprint)

    async def learn(self) -> None:
        raise AssertionError("not here")

    async def follow(self) -> None:
        raise AssertionError("not here")


def verifier(*algorithms: str, audiences: tuple[str, ...] = (AUDIENCE,)) -> JwtVerifier:
    """Return a verifier with a key for each algorithm, or with the secret for HS algorithms."""
    issuer = Issuer(ISSUER, audiences, frozenset(algorithms), LEEWAY)
    if algorithms[0].startswith("HS"):
        return JwtVerifier(issuer, FixedKeys(secret_key(SECRET.encode(), algorithms)))
    members = [jwk(private_key(algorithm), algorithm, alg=algorithm) for algorithm in algorithms]
    return JwtVerifier(issuer, Set(parse_key_set(key_set(*members), algorithms)))


def reason(given: bytes, checked: JwtVerifier | None = None) -> str | None:
    """Return why a token is refused; None if it is valid. The default verifier knows RS256 as "first"."""
    if checked is None:
        keys = parse_key_set(key_set(jwk(private_key("RS256"), "first")), ["RS256"])
        checked = JwtVerifier(Issuer(ISSUER, (AUDIENCE,), frozenset({"RS256"}), LEEWAY), Set(keys))
    try:
        checked.verify(given)
    except TokenRefused as refused:
        return str(refused)
    return None


def encoded(part: Any) -> bytes:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def hand_made(header: Any, payload: Any = None, signature: bytes = b"x") -> bytes:
    return b".".join([encoded(header), encoded(claims() if payload is None else payload), encoded(signature)])


@pytest.mark.parametrize("algorithm", [*ASYMMETRIC, "HS256", "HS384", "HS512"])
def test_a_token_of_each_algorithm_is_valid_and_a_changed_one_is_not(algorithm: str):
    checked = verifier(algorithm)
    good = token(algorithm, kid=algorithm)
    verified = checked.verify(good)
    assert verified.claims["sub"] == "someone"
    assert verified.expires_at == verified.claims["exp"] + LEEWAY
    assert checked.holds(verified.key)
    head, _, signature = good.split(b".")
    assert reason(b".".join([head, encoded(claims(tandem_role="admin")), signature]), checked) == "signature"
    other = SECRET[1:] if algorithm.startswith("HS") else private_key(algorithm, 1)
    forged = jwt.encode(claims(), other, algorithm, headers={"kid": algorithm}).encode()
    assert reason(forged, checked) == "signature"
    assert "someone" not in repr(verified)


def test_a_token_never_chooses_another_algorithm():
    everything = verifier(*ASYMMETRIC)
    for algorithm in ASYMMETRIC:
        assert reason(token(algorithm, kid=algorithm), everything) is None
        for other in ASYMMETRIC:  # each key says its algorithm
            if other != algorithm:
                assert reason(token(algorithm, kid=other), everything) == "unknown_key"
    assert reason(token("RS512")) == "algorithm"  # the same key, and not allowed


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", "", None, 0, [], ["RS256"], {"RS256": 1}])
def test_an_unsigned_token_is_refused(none: Any):
    for signature in (b"", b"x"):
        given = hand_made({"alg": none, "kid": "first", "typ": "JWT"}, signature=signature)
        assert reason(given) in ("algorithm", "malformed")
        assert reason(given, verifier("HS256")) in ("algorithm", "malformed")
    assert reason(hand_made({"kid": "first"})) == "algorithm"


def test_the_public_key_is_no_secret():
    """The attack of a token that is signed by HMAC with the public key, which everybody knows."""
    public = private_key("RS256")
    for secret in (public_pem(public), public_pem(public).strip(), json.dumps(jwk(public)).encode()):
        signed = encoded({"alg": "HS256", "kid": "first"}) + b"." + encoded(claims())
        forged = signed + b"." + encoded(hmac.digest(secret, signed, hashlib.sha256))
        assert reason(forged) == "algorithm"


def test_a_token_brings_no_key_along():
    mine = private_key("RS256", 1)
    for header in (
        {"jwk": jwk(mine)},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/chain"},
        {"x5c": ["MIIB"]},
    ):
        assert reason(token(number=1, header=header)) == "signature"
        assert reason(token(header=header)) is None


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "x' UNION SELECT 'secret", "FIRST", "first\0", "http://127.0.0.1:9/", "f" * 256]
)
def test_the_id_of_a_key_is_only_looked_up(kid: str):
    assert reason(token(kid=kid)) == "unknown_key"


@pytest.mark.parametrize("kid", [0, True, [], ["first"], {"first": 1}, "", "f" * 257])
def test_an_id_of_a_key_that_is_no_text_is_refused(kid: Any):
    assert reason(hand_made({"alg": "RS256", "kid": kid})) in ("header", "malformed")


def test_without_an_id_the_only_key_for_the_algorithm_counts():
    assert reason(token(kid=None)) is None
    two = parse_key_set(key_set(*[jwk(private_key("RS256", number), str(number)) for number in (0, 1)]), ["RS256"])
    checked = JwtVerifier(Issuer(ISSUER, (AUDIENCE,), frozenset({"RS256"}), LEEWAY), Set(two))
    assert reason(token(kid=None), checked) == "unknown_key"
    assert reason(token(kid="1", number=1), checked) is None


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": "x"}]
)
def test_a_critical_extension_is_refused(header: dict[str, Any]):
    assert reason(hand_made({"alg": "RS256", "kid": "first", **header})) in ("header", "malformed")


@pytest.mark.parametrize(("kind", "expected"), [
    ("JWT", None), ("jwt", None), ("at+jwt", None), ("application/at+jwt", None),
    ("logout+jwt", "header"), ("dpop+jwt", "header"), ("JWE", "header"), (1, "header"), (["JWT"], "header"),
])  # fmt: skip
def test_a_token_for_another_purpose_is_refused(kind: Any, expected: str | None):
    assert reason(token(header={"typ": kind})) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"exp": None}, "claims"),
        ({"iss": None}, "claims"),
        ({"aud": None}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": "a\nb"}, "claims"),
        ({"sub": "a" * 256}, "claims"),
        ({"iss": "https://other.test"}, "issuer"),
        ({"iss": f"{ISSUER}/"}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other", "tandem2"]}, "audience"),
        ({"aud": ["other", AUDIENCE]}, None),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"aud": []}, "claims"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": 10**400}, "claims"),
        ({"exp": -1}, "expired"),
        ({"exp": True}, "expired"),
    ],
)
def test_the_claims_of_every_token(changed: dict[str, Any], expected: str | None):
    assert reason(token(**changed)) == expected


@pytest.mark.parametrize(("claim", "offset", "expected"), [
    ("exp", -LEEWAY + 15, None), ("exp", -LEEWAY - 5, "expired"),
    ("nbf", LEEWAY - 5, None), ("nbf", LEEWAY + 15, "not_yet_valid"),
    ("iat", LEEWAY - 5, None), ("iat", LEEWAY + 15, "not_yet_valid"),
])  # fmt: skip
def test_times_count_with_the_leeway(claim: str, offset: int, expected: str | None):
    assert reason(token(**{claim: int(time.time()) + offset})) == expected


def test_what_is_no_token_is_refused_whatever_it_is():
    good = token()
    for given in (
        b"",
        b"..",
        b"a.b.c",
        b"a.b.c.d.e",
        good + b".x",
        good + b"=",
        good.replace(b".", b"..", 1),
        b" " + good,
        good + b"\n",
        good[:-1] + b"\xff",
        hand_made([1]),
        hand_made(b"{"),
        hand_made(b"\xff\xfe"),
        hand_made(b"[" * 4000),
        hand_made(b'{"a":' * 1000),
    ):
        assert reason(given) == "malformed", given[:40]
    nested = jwt.api_jws.encode(b"[" * 4000, private_key("RS256"), "RS256", headers={"kid": "first"}).encode()
    assert reason(nested) in ("malformed", "claims")
    for payload in (b"[]", b"1", b"null", b'"a"', b"\xff"):
        signed = jwt.api_jws.encode(payload, private_key("RS256"), "RS256", headers={"kid": "first"}).encode()
        assert reason(signed) in ("malformed", "claims")


def test_a_token_beyond_the_limit_is_not_looked_at():
    assert reason(token(padding="x" * 5000)) is None
    assert reason(token(padding="x" * MAX_TOKEN_BYTES)) == "too_large"
    assert reason(b"." * (1 << 20)) == "too_large"
