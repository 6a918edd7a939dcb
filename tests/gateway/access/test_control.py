"""Which text of a key works, and until when."""

from collections.abc import Callable

import pytest

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.document_filter import make_filter
from tandem_gateway.access.key_administration import (
    MAX_GLOBS,
    MAX_GRACE_SECONDS,
    MAX_SECONDS,
    KeyAdministration,
    NewKey,
)
from tandem_gateway.access.key_text import MAX_BYTES, id_of, new_id, new_text
from tandem_gateway.access.token_claims import ClaimRules, principal_of_claims
from tandem_gateway.adapters.memory.key_store import MemoryKeyStore
from tandem_gateway.errors import InvalidRequest, NotFound

BOOTSTRAP = "a-key-from-outside-of-32-characters"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Keys:
    """A store, its administration and the access control of a gateway, on one clock."""

    def __init__(self, bootstrap: str = "") -> None:
        self.clock = Clock()
        self.store = MemoryKeyStore()
        self.administration = KeyAdministration(self.store, self.clock)
        self.access = AccessControl(self.store, bootstrap=bootstrap, clock=self.clock)
        self.access.load()

    def create(self, **fields: object) -> tuple[str, str]:
        """Make a key; return its id and its text."""
        key, text = self.administration.create(NewKey(**{"name": "a name", "role": "search", **fields}))
        self.access.load()
        return key.id, text

    def holder(self, text: str) -> str | None:
        found = self.access.authenticate(text.encode())
        return None if found is None else found.id


def test_access_control_is_off_until_the_first_key_and_then_stays_on():
    keys = Keys()
    assert not keys.access.on
    key_id, text = keys.create()
    assert keys.access.on
    assert keys.access.has_keys
    keys.administration.revoke(key_id)
    keys.access.load()
    assert keys.access.on
    assert not keys.access.has_keys
    assert keys.holder(text) is None
    keys.store.switch(False)
    keys.access.load()
    assert not keys.access.on
    keys.create()
    assert keys.access.on


def test_a_gateway_that_requires_access_control_ignores_that_it_is_switched_off():
    keys = Keys()
    keys.create()
    keys.access.require()
    keys.store.switch(False)
    keys.access.load()
    assert keys.access.on


def test_only_the_whole_text_of_a_key_works():
    keys = Keys()
    key_id, text = keys.create()
    assert keys.holder(text) == key_id == id_of(text.encode()).decode()
    assert text.startswith(f"tandem_{key_id}_")
    assert len(text) == len("tandem_") + 12 + 1 + 43
    last = "A" if text[-1] != "A" else "B"
    for wrong in ("", text[:-1], text + "x", text[:-1] + last, text.upper(), new_text(key_id), new_text(new_id())):
        assert keys.holder(wrong) is None
    assert keys.holder("x" * (MAX_BYTES + 1)) is None


def test_a_key_works_until_the_second_of_its_end():
    keys = Keys()
    _, text = keys.create(seconds=60)
    keys.clock.now += 59.9
    assert keys.holder(text) is not None
    keys.clock.now += 0.1
    assert keys.holder(text) is None
    assert not keys.access.has_keys


def test_a_long_request_may_go_on_until_its_key_is_revoked_or_expires():
    keys = Keys(BOOTSTRAP)
    key_id, text = keys.create(seconds=60)
    holder, outside = keys.access.authenticate(text.encode()), keys.access.authenticate(BOOTSTRAP.encode())
    assert keys.access.still_allows(holder)
    keys.clock.now += 60
    assert not keys.access.still_allows(holder)
    keys.clock.now -= 1
    assert keys.access.still_allows(holder)
    keys.administration.revoke(key_id)
    keys.access.load()
    assert not keys.access.still_allows(holder)
    assert keys.access.still_allows(outside)
    assert not keys.access.still_allows(None)


def test_a_long_request_with_a_token_may_go_on_until_the_token_expires():
    keys = Keys(BOOTSTRAP)
    caller = principal_of_claims(
        {"sub": "someone", "tandem_role": "search", "tandem_collections": "*"}, ClaimRules(), keys.clock.now + 60
    )
    keys.clock.now += 59
    assert keys.access.still_allows(caller)
    keys.clock.now += 1
    assert not keys.access.still_allows(caller)


def test_a_gateway_warns_of_keys_that_are_switched_off_in_vain(caplog: pytest.LogCaptureFixture):
    keys = Keys()
    key_id, _ = keys.create()
    keys.access.require()
    keys.access.load()
    assert not caplog.records
    keys.store.switch(False)
    keys.access.load()
    assert "changes nothing" in caplog.records.pop().message
    keys.store.switch(True)
    keys.administration.revoke(key_id)
    keys.access.load()
    assert "no key works" in caplog.records.pop().message


def test_a_long_request_without_a_key_may_go_on_until_access_control_is_switched_on():
    keys = Keys()
    assert keys.access.still_allows(None)
    keys.create()
    assert not keys.access.still_allows(None)


def test_a_rotated_key_has_a_new_text_and_the_old_one_works_for_its_grace():
    keys = Keys()
    key_id, first = keys.create()
    _, second = keys.administration.rotate(key_id)
    keys.access.load()
    assert (keys.holder(first), keys.holder(second)) == (None, key_id)
    _, third = keys.administration.rotate(key_id, 60)
    keys.access.load()
    assert (keys.holder(first), keys.holder(second), keys.holder(third)) == (None, key_id, key_id)
    keys.clock.now += 60
    assert (keys.holder(second), keys.holder(third)) == (None, key_id)


def test_what_is_not_there_is_neither_rotated_nor_revoked():
    keys = Keys()
    key_id, _ = keys.create()
    first = keys.administration.revoke(key_id)
    keys.clock.now += 1
    assert keys.administration.revoke(key_id) == first
    for change in (keys.administration.rotate, keys.administration.revoke):
        with pytest.raises(NotFound):
            change(new_id())
    with pytest.raises(NotFound):
        keys.administration.rotate(key_id)


def test_the_key_of_a_setting_may_do_everything_and_switches_access_control_on():
    keys = Keys(BOOTSTRAP)
    assert keys.access.on
    assert keys.access.has_keys
    found = keys.access.authenticate(BOOTSTRAP.encode())
    assert found is not None
    assert (found.id, found.role, found.collections) == ("bootstrap", "admin", ("*",))
    assert keys.holder(BOOTSTRAP[:-1]) is None
    _, text = keys.create()
    assert keys.holder(text) is not None


def test_the_holder_of_a_key_with_a_filter_has_the_filter():
    keys = Keys()
    _, text = keys.create(role="ingest", filter={"tenant": "a", "level": 2})
    holder = keys.access.authenticate(text.encode())
    assert holder is not None
    assert holder.filter == make_filter({"level": 2, "tenant": "a"})
    assert keys.store.table().keys[0].filter == '{"level":2,"tenant":"a"}'


def test_uses_are_recorded_at_the_latest_when_the_gateway_ends():
    keys = Keys()
    key_id, text = keys.create()
    keys.clock.now += 5
    keys.holder(text)
    assert keys.access.last_uses() == {key_id: keys.clock.now}
    keys.access.close()
    assert keys.store.table().keys[0].last_used_at == keys.clock.now


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"name": ""}, "name", "invalid_field"),
        ({"name": "x" * 101}, "name", "limit_exceeded"),
        ({"name": " x"}, "name", "invalid_field"),
        ({"name": "a\nb"}, "name", "invalid_field"),
        ({"role": "root"}, "role", "invalid_field"),
        ({"collections": []}, "collections", "invalid_field"),
        ({"collections": ["a"] * (MAX_GLOBS + 1)}, "collections", "limit_exceeded"),
        ({"collections": ["a", "b/c"]}, "collections[1]", "invalid_field"),
        ({"seconds": 0}, "expires_in_seconds", "limit_exceeded"),
        ({"seconds": MAX_SECONDS + 1}, "expires_in_seconds", "limit_exceeded"),
        ({"filter": {"tenant": "a"}, "role": "admin"}, "role", "invalid_field"),
        ({"filter": {"tenant": "a\0"}}, "filter.tenant", "invalid_field"),
        ({"filter": {"tenant": "\ud800"}}, "filter.tenant", "invalid_field"),
        ({"filter": {"tenant": 2**53 + 1}}, "filter.tenant", "invalid_field"),
        ({"filter": {}}, "filter", "invalid_field"),
        ({"filter": []}, "filter", "invalid_field"),
        ({"filter": {"$or": []}}, "filter.$or", "invalid_field"),
        ({"filter": {"tenant": {"$in": ["a"]}}}, "filter.tenant", "invalid_field"),
        ({"filter": {"tenant": 0.5}}, "filter.tenant", "invalid_field"),
    ],
)
def test_a_key_that_is_not_valid_is_refused_by_name(fields: dict[str, object], param: str, code: str):
    with pytest.raises(InvalidRequest) as caught:
        Keys().create(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert str(caught.value).startswith(f"{param}: ")


@pytest.mark.parametrize("grace", [-1, MAX_GRACE_SECONDS + 1])
def test_a_grace_beyond_its_limit_is_refused(grace: int):
    keys = Keys()
    key_id, _ = keys.create()
    rotate: Callable[..., object] = keys.administration.rotate
    with pytest.raises(InvalidRequest, match="grace_seconds"):
        rotate(key_id, grace)


def test_no_text_and_no_digest_is_in_the_printed_form_of_a_key():
    keys = Keys(BOOTSTRAP)
    _, text = keys.create()
    (key,) = keys.store.table().keys
    printed = f"{key!r}{keys.access.authenticate(text.encode())!r}"
    assert text not in printed
    assert repr(key.digest) not in printed
