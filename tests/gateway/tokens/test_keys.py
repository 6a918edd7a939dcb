"""Which keys of a JWKS are used."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tandem_gateway.adapters.jwt.keys import MAX_KEYS, InvalidKeySet, parse_key_set, secret_key
from tests.support.issuing import ASYMMETRIC, jwk, key_set, private_key

RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def usable(member: Any) -> set[str]:
    """Return the algorithms that a key may verify, beside a good key."""
    good = jwk(private_key("EdDSA", 1), "good")
    keys = parse_key_set(json.dumps({"keys": [member, good]}).encode(), ASYMMETRIC)
    return {algorithm for algorithm in ASYMMETRIC if keys.find("a", algorithm) is not None}


def test_a_key_verifies_what_its_kind_and_its_curve_can():
    assert usable(jwk(private_key("RS256"), "a")) == set(RSA)
    for algorithm in ("ES256", "ES384", "ES512", "EdDSA"):
        assert usable(jwk(private_key(algorithm), "a")) == {algorithm}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"use": "sig"}, set(RSA)),
        ({"use": "enc"}, set()),
        ({"key_ops": ["verify"]}, set(RSA)),
        ({"key_ops": ["encrypt"]}, set()),
        ({"key_ops": "verify"}, set()),
        ({"alg": "PS256"}, {"PS256"}),
        ({"alg": "HS256"}, set()),
        ({"alg": "RSA-OAEP"}, set()),
        ({"alg": 1}, set()),
        ({"kty": "oct", "k": "c2VjcmV0"}, set()),
        ({"kty": "EC"}, set()),
        ({"kty": ["RSA"]}, set()),
        ({"n": "AQ"}, set()),
        ({"n": 1}, set()),
        ({"n": None}, set()),
        ({"e": "!"}, set()),
    ],
)
def test_a_key_for_something_else_is_not_used(members: dict[str, Any], expected: set[str]):
    assert usable({**jwk(private_key("RS256"), "a"), **members}) == expected


@pytest.mark.parametrize("member", [None, 1, "a", [], {}, {"kty": "RSA"}, {"kty": "EC", "crv": ["P-256"]}])
def test_what_is_no_key_is_left_out(member: Any):
    assert usable(member) == set()


def test_a_weak_key_is_not_used():
    for bits in (1024, 16384 // 2 + 8):
        key = rsa.RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
        assert usable({**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "a"}) == set()
    for other in (ec.generate_private_key(ec.SECP256K1()).public_key(),):
        assert usable({**ECAlgorithm.to_jwk(other, as_dict=True), "kid": "a"}) == set()
    assert (
        usable({**OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True), "kid": "a"})
        == set()
    )


def test_of_a_private_key_only_the_public_part_is_read():
    private = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)
    private.pop("key_ops")
    assert "d" in private
    (key,) = [
        parse_key_set(key_set({**private, "kid": "a"}), ["RS256"]).find("a", "RS256"),
    ]
    assert key is not None
    assert isinstance(key.key, rsa.RSAPublicKey)


def test_keys_that_share_an_id_verify_nothing_if_they_differ():
    first, second = (jwk(private_key("RS256", number), "a") for number in (0, 1))
    assert parse_key_set(key_set(first, first), ["RS256"]).find("a", "RS256") is not None
    assert parse_key_set(key_set(first, second), ["RS256"]).find("a", "RS256") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no JWKS"),
        (b'{"keys": {}}', "no JWKS"),
        (b'{"keys": []}', "no public key for RS256"),
        (key_set(*[{"kty": "oct"}] * (MAX_KEYS + 1)), "101 keys, and 100 is the limit"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(content: bytes, message: str):
    with pytest.raises(InvalidKeySet, match=message):
        parse_key_set(content, ["RS256"])


def test_no_key_is_shown():
    key = secret_key(b"a secret of thirty-two characters", ["HS256"])
    assert "a secret" not in repr(key)
