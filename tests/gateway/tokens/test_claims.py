"""What the claims of a token allow."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.principal import includes
from tandem_gateway.access.token_claims import ClaimRules, claim, principal_of_claims
from tandem_gateway.ports.tokens import ClaimsRefused
from tandem_gateway.records.access import ROLES

OURS = ClaimRules()
KEYCLOAK = ClaimRules(
    role="realm_access.roles",
    roles={"search-admins": "admin", "writers": "ingest", "readers": "search"},
    collections="resource_access.tandem.collections",
    default_collections=("shared-*",),
)


def principal(rules: ClaimRules = OURS, **claims: Any) -> tuple[str, tuple[str, ...]]:
    found = principal_of_claims({"sub": "someone", **claims}, rules)
    assert (found.id, found.name) == ("jwt:someone", "someone")
    return found.role, found.collections


def refused(rules: ClaimRules = OURS, **claims: Any) -> tuple[str, str]:
    with pytest.raises(ClaimsRefused) as caught:
        principal(rules, **claims)
    return caught.value.reason, str(caught.value)


def test_a_token_names_its_role_and_its_collections():
    assert principal(tandem_role="ingest", tandem_collections=["a", "b-*"]) == ("ingest", ("a", "b-*"))
    assert principal(tandem_role="search", tandem_collections="a, b-* c") == ("search", ("a", "b-*", "c"))


def test_the_largest_of_several_roles_counts_and_foreign_names_do_not():
    assert principal(tandem_role="openid search admin profile", tandem_collections="*")[0] == "admin"
    assert principal(tandem_role=["ingest", "offline_access", "search"], tandem_collections="*")[0] == "ingest"


def test_keycloaks_nested_claims_and_its_own_names_of_roles():
    given = {
        "realm_access": {"roles": ["offline_access", "readers", "writers"]},
        "resource_access": {"tandem": {"collections": ["team-1"]}},
    }
    assert principal(KEYCLOAK, **given) == ("ingest", ("team-1",))
    assert principal(KEYCLOAK, realm_access=given["realm_access"]) == ("ingest", ("shared-*",))
    # With names of its own, the gateway's names mean nothing.
    assert refused(KEYCLOAK, realm_access={"roles": ["admin"]})[0] == "role"


def test_a_claim_whose_whole_name_has_dots_counts_first():
    name = "https://example.org/role"
    assert claim({name: "admin", "https://example": {"org/role": "search"}}, name) == "admin"
    assert claim({"a": {"b": 1}}, "a.b") == 1
    for other in ({}, {"a": 1}, {"a": {"b": {}}}, {"a": []}, {"a": None}):
        assert claim(other, "a.b.c") is None


def test_a_token_without_a_role_gets_the_default_or_is_refused():
    assert principal(ClaimRules(default_role="search"), tandem_collections="*")[0] == "search"
    assert principal(ClaimRules(default_role="search"), tandem_role=["other"], tandem_collections="*")[0] == "search"
    for absent in ({}, {"tandem_role": ""}, {"tandem_role": []}, {"tandem_role": "root"}, {"tandem_role": None}):
        assert refused(tandem_collections="*", **absent) == (
            "role",
            "authorization: the token has no role for this gateway in its claim 'tandem_role'",
        )


@pytest.mark.parametrize("given", [1, True, {"search": True}, ["search", 1], [["search"]]])
def test_a_claim_of_another_type_is_refused_although_there_is_a_default(given: Any):
    rules = ClaimRules(default_role="admin", default_collections=("*",))
    reason, message = refused(rules, tandem_role=given)
    assert (reason, "'tandem_role'" in message) == ("role", True)
    reason, message = refused(rules, tandem_collections=given)
    assert (reason, "'tandem_collections'" in message) == ("collections", True)


def test_a_token_without_collections_gets_the_default_or_is_refused():
    assert principal(ClaimRules(default_collections=("a", "b")), tandem_role="search") == ("search", ("a", "b"))
    assert refused(tandem_role="search")[0] == "collections"


@pytest.mark.parametrize("given", ["", [], ["/"], ["a", "*****"], ["a"] * 101, [""], ["a" * 65], "a/b"])
def test_collections_that_are_no_globs_are_refused_and_not_shown(given: Any):
    reason, message = refused(ClaimRules(default_collections=("*",)), tandem_role="search", tandem_collections=given)
    assert reason == "collections"
    assert "/" not in message


def test_a_filter_is_refused_and_never_left_out():
    for condition in ({"tenant": "a"}, {}, [], "tenant", 0, False, {"$or": []}):
        reason, message = refused(tandem_role="search", tandem_collections="*", tandem_filter=condition)
        assert (reason, "'tandem_filter'" in message) == ("filter", True)
    assert principal(tandem_role="search", tandem_collections="*", tandem_filter=None)[0] == "search"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ROLES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(_json, _json, _json, st.sampled_from([None, *ROLES]), st.sampled_from([(), ("*",), ("a",)]))
def test_whatever_the_claims_are_no_role_and_no_collection_comes_from_nowhere(
    role, globs, condition, default, defaults
):
    rules = ClaimRules(default_role=default, default_collections=defaults)
    claims = {"sub": "someone", "tandem_role": role, "tandem_collections": globs, "tandem_filter": condition}
    try:
        found = principal_of_claims(claims, rules)
    except ClaimsRefused:
        return
    assert condition is None
    told = json.dumps(role)
    assert found.role in told or found.role == default
    assert all(each in json.dumps(globs) for each in found.collections) or (
        globs is None and found.collections == defaults
    )
    assert found.collections
    if isinstance(role, str) and "admin" not in role and default != "admin":
        assert not includes(found.role, "admin")
