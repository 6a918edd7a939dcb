"""What a caller may do: the order of the roles, the globs of collections, and what a refusal says."""

import fnmatch
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.principal import (
    MAX_STARS,
    Principal,
    check_everything,
    check_role,
    check_use,
    includes,
    is_glob,
    make_principal,
)
from tandem_gateway.errors import Forbidden
from tandem_gateway.records.access import ROLES, Role

NAME = string.ascii_letters + string.digits + "._-"
NAMES = st.text(NAME, min_size=1, max_size=64)
GLOBS = st.text("ab.-*?", min_size=1, max_size=20).filter(is_glob)


def principal(role: Role = "admin", *globs: str) -> Principal:
    return make_principal("0123456789ab", "a name", role, globs or ("*",))


@given(st.sampled_from(ROLES), st.sampled_from(ROLES), st.sampled_from(ROLES))
def test_roles_are_a_chain(first: Role, second: Role, third: Role):
    assert includes(first, first)
    assert includes(first, second) or includes(second, first)
    assert not (includes(first, second) and includes(second, third)) or includes(first, third)


def test_the_order_of_the_roles():
    assert [role for role in ROLES if includes("ingest", role)] == ["search", "ingest"]
    assert all(includes("admin", role) for role in ROLES)


@given(st.sampled_from(ROLES), st.sampled_from(ROLES))
def test_a_role_is_refused_exactly_if_it_is_not_included(has: Role, needs: Role):
    if includes(has, needs):
        check_role(principal(has), needs)
    else:
        with pytest.raises(Forbidden, match=f"the role '{needs}' is needed, and this one has '{has}'") as caught:
            check_role(principal(has), needs)
        assert caught.value.param == "authorization"


@given(st.lists(GLOBS, min_size=1, max_size=4), st.text("ab.-", min_size=1, max_size=20))
def test_globs_match_as_those_of_a_shell(globs: list[str], name: str):
    assert principal("search", *globs).covers(name) == any(fnmatch.fnmatchcase(name, glob) for glob in globs)


@given(NAMES)
def test_a_name_without_stars_is_itself_alone(name: str):
    holder = principal("search", name)
    assert holder.covers(name)
    assert not holder.covers(name + "x")
    assert not holder.covers("x" + name)
    assert not holder.covers(f"{name}\n")


@given(st.text())
def test_a_star_covers_everything(name: str):
    assert principal("search", "a", "*").covers(name)


def test_a_long_name_costs_no_time():
    holder = principal("search", "*a" * MAX_STARS + "b")
    assert holder.covers("a" * MAX_STARS + "b")
    assert not holder.covers("a" * 1_000_000)


@pytest.mark.parametrize("text", ["", "a" * 65, "a/b", "a b", "[ab]", "*" * (MAX_STARS + 1), "a\n", "ä"])
def test_what_is_no_glob(text: str):
    assert not is_glob(text)


@given(st.sampled_from(ROLES), GLOBS, NAMES)
def test_a_foreign_collection_is_refused_by_name_alone(role: Role, glob: str, name: str):
    holder = principal(role, glob)
    if holder.covers(name):
        check_use(holder, role, name)
    else:
        with pytest.raises(Forbidden, match="this key may not use the collection") as caught:
            check_use(holder, role, name)
        assert caught.value.param == "collection"


def test_everything_needs_every_collection():
    check_everything(principal("admin", "*"), "admin")
    for holder in (principal("admin", "a*"), principal("ingest", "*")):
        with pytest.raises(Forbidden):
            check_everything(holder, "admin")
