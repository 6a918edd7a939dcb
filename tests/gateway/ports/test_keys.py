"""Conformance of the stores of API keys."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tandem_gateway.adapters.memory.key_store import MemoryKeyStore
from tandem_gateway.adapters.postgres.key_store import PostgresKeyStore
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.ports.keys import MAX_CALLERS, MAX_KEYS, MAX_REVOKED, OTHERS, KeyStore
from tandem_gateway.records.access import ApiKey, Usage
from tandem_gateway.records.limits import parse_limits
from tests.support import postgres


def key(number: int, **fields: object) -> ApiKey:
    made = ApiKey(
        id=f"{number:012x}",
        name=f"key {number} ä",
        role="ingest",
        collections=("a-*", "b"),
        digest=bytes([number % 256]) * 32,
        created_at=100.5 + number,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    url = postgres.databases().take() if request.param == "postgres" else ""
    made: dict[str, Callable[[], KeyStore]] = {
        "memory": MemoryKeyStore,
        "sqlite": lambda: SqliteKeyStore(tmp_path / "data"),
        "postgres": lambda: PostgresKeyStore(url),
    }
    store = made[request.param]()
    yield store
    store.close()
    if url:
        postgres.databases().give_back(url)


def test_a_new_store_is_empty_and_off(keys: KeyStore):
    table = keys.table()
    assert (table.on, list(table.keys)) == (False, [])
    keys.version()


def test_a_key_comes_back_as_it_was_added_and_switches_access_control_on(keys: KeyStore):
    added = [key(2, expires_at=7.5, filter='{"a":1}'), key(1)]
    for each in added:
        keys.add(each)
    table = keys.table()
    assert (table.on, list(table.keys)) == (True, added)


def test_the_secret_stays_the_same(keys: KeyStore):
    secret = keys.secret()
    assert len(secret) == 32
    keys.add(key(1))
    assert keys.secret() == secret


def test_a_rotation_keeps_the_digest_before(keys: KeyStore):
    keys.add(key(1))
    changed = keys.rotate(key(1).id, b"n" * 32, 9.5)
    expected = key(1, digest=b"n" * 32, previous_digest=key(1).digest, previous_until=9.5)
    assert changed == expected
    assert list(keys.table().keys) == [expected]
    assert keys.rotate("f" * 12, b"n" * 32, 0.0) is None


def test_a_revoked_key_stays_revoked_since_the_first_time(keys: KeyStore):
    keys.add(key(1))
    assert keys.revoke(key(1).id, 5.0) == key(1, revoked_at=5.0)
    assert keys.revoke(key(1).id, 6.0) == key(1, revoked_at=5.0)
    assert keys.rotate(key(1).id, b"n" * 32, 0.0) is None
    assert keys.revoke("f" * 12, 5.0) is None
    assert list(keys.table().keys) == [key(1, revoked_at=5.0)]


def test_uses_are_recorded_for_keys_that_exist(keys: KeyStore):
    keys.add(key(1))
    keys.record_uses({key(1).id: 8.5, "f" * 12: 9.0})
    assert list(keys.table().keys) == [key(1, last_used_at=8.5)]


def test_it_is_switched_off_and_on(keys: KeyStore):
    keys.switch(True)
    assert keys.table().on
    keys.switch(False)
    assert not keys.table().on
    keys.add(key(1))
    assert keys.table().on


def test_the_number_of_keys_has_a_limit_and_revoked_keys_do_not_count(keys: KeyStore, monkeypatch: pytest.MonkeyPatch):
    for module in ("memory", "sqlite", "postgres"):
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.key_store.MAX_KEYS", 3)
        monkeypatch.setattr(f"tandem_gateway.adapters.{module}.key_store.MAX_REVOKED", 2)
    for number in range(3):
        keys.add(key(number))
    with pytest.raises(InvalidRequest, match="which is the limit"):
        keys.add(key(3))
    for number in range(3):
        keys.revoke(key(number).id, 10.0 + number)
    keys.add(key(3))
    assert [each.id for each in keys.table().keys] == [key(number).id for number in (1, 2, 3)]
    assert (MAX_KEYS, MAX_REVOKED) == (1000, 1000)


def test_limits_come_back_as_they_were(keys: KeyStore):
    added = [
        key(1),
        key(2, limits=()),
        key(3, limits=parse_limits(["requests=5/second:burst=9", "documents=7/day"])),
    ]
    for each in added:
        keys.add(each)
    assert list(keys.table().keys) == added


def test_usage_adds_up_by_day_and_caller(keys: KeyStore):
    assert keys.usage(0, 100) == {}
    keys.add_usage({(7, "a"): Usage(1, 2, 3), (7, "b"): Usage(requests=1)})
    keys.add_usage({(7, "a"): Usage(10, 20, 30), (8, "a"): Usage(tokens=5)})
    assert keys.usage(7, 8) == {(7, "a"): Usage(11, 22, 33), (7, "b"): Usage(1), (8, "a"): Usage(tokens=5)}
    assert keys.usage(8, 8) == {(8, "a"): Usage(tokens=5)}
    assert keys.usage(0, 100, "b") == {(7, "b"): Usage(1)}
    keys.forget_usage(8)
    assert keys.usage(0, 100) == {(8, "a"): Usage(tokens=5)}


def test_a_day_has_a_bounded_number_of_callers(keys: KeyStore):
    keys.add_usage({(7, f"{number:06}"): Usage(1) for number in range(MAX_CALLERS)})
    keys.add_usage({(7, "late"): Usage(1), (7, "later"): Usage(2), (7, "000001"): Usage(1), (8, "late"): Usage(1)})
    usage = keys.usage(7, 8, None, 2 * MAX_CALLERS)
    assert len(keys.usage(7, 8, None, 3)) == 3
    assert len(usage) == MAX_CALLERS + 2
    assert (usage[7, OTHERS], usage[7, "000001"], usage[8, "late"]) == (Usage(3), Usage(2), Usage(1))
