"""Facets agree with a count over the newest versions of the documents."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, NotFound
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.http.filters import read_filter
from tandem_gateway.use_cases import facets
from tandem_gateway.use_cases.facets import MAX_FIELDS, MAX_VALUES, Facet, Facets
from tandem_runtime.memory import OverBudget
from tests.gateway.filters.strategies import FILTERS, METADATA, NAMES, _lookup, _same, expected
from tests.support.stores import LIMITS, NOW, document


async def filled(metadatas: list[dict[str, Any]]) -> MemoryStore:
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    made = [document(f"d{place:03}", metadata=json.dumps(each)) for place, each in enumerate(metadatas)]
    await store.accept("job", "default", made, NOW)
    return store


def counts_of(metadatas: list[dict[str, Any]], field: str) -> list[tuple[Any, int]]:
    """Return the different values of a field in the order in which they come, with their documents."""
    counted: list[tuple[Any, int]] = []
    for metadata in metadatas:
        seen: list[Any] = []
        for found in _lookup(metadata, field):
            for value in found if isinstance(found, list) else [found]:
                if not isinstance(value, dict) and not any(_same(value, each) for each in seen):
                    seen.append(value)
        for value in seen:
            place = next((place for place, (each, _) in enumerate(counted) if _same(each, value)), None)
            if place is None:
                counted.append((value, 1))
            else:
                counted[place] = (counted[place][0], counted[place][1] + 1)
    return counted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(METADATA, max_size=8), FILTERS, st.integers(1, 4))
async def test_facets_agree_with_a_count(metadatas: list[dict[str, Any]], condition: dict[str, Any], limit: int):
    store = await filled(metadatas)
    fields = NAMES[:4]
    documents, found = await Facets(store, timeout=10.0, answer_bytes=1 << 20).count(
        "default", fields, read_filter(json.dumps(condition).encode()), limit
    )
    right = [metadata for metadata in metadatas if expected(condition, metadata)]
    assert documents == len(right)
    assert list(found) == fields
    for field in fields:
        counted = sorted(counts_of(right, field), key=lambda each: -each[1])
        assert [count for _, count in found[field].values] == [count for _, count in counted[:limit]]
        for (value, _), (other, _) in zip(found[field].values, counted[:limit], strict=True):
            assert type(value) is type(other) or float(value) == float(other)  # type: ignore[arg-type]
        assert found[field].others == sum(count for _, count in counted[limit:])


async def test_invalid_requests_are_refused():
    use_case = Facets(await filled([]), timeout=10.0, answer_bytes=1 << 20)
    for fields, limit, param in (
        ([], 1, "fields"), (["a"] * (MAX_FIELDS + 1), 1, "fields"), (["a", "x" * 513], 1, "fields[1]"),
        (["a"], 0, "limit"), (["a"], MAX_VALUES + 1, "limit"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as caught:
            await use_case.count("default", fields, EVERYTHING, limit)
        assert caught.value.param == param
    with pytest.raises(NotFound, match="nowhere"):
        await use_case.count("nowhere", ["a"], EVERYTHING, 1)


async def test_a_count_has_a_deadline_and_a_bound(monkeypatch: pytest.MonkeyPatch):
    store = await filled([{"a": number} for number in range(30)])
    late = iter([0.0, 11.0])
    with pytest.raises(DeadlineExceeded, match="10 s"):
        await Facets(store, timeout=10.0, answer_bytes=1 << 20, clock=lambda: next(late)).count(
            "default", ["a"], EVERYTHING, 1
        )
    monkeypatch.setattr(facets, "MAX_DIFFERENT", 29)
    with pytest.raises(InvalidRequest, match="29 different values"):
        await Facets(store, timeout=10.0, answer_bytes=1 << 20).count("default", ["a"], EVERYTHING, 1)


async def test_the_values_that_are_counted_have_a_bound_in_bytes_and_hold_their_memory():
    store = await filled(
        [{"a": f"{number}é" * 100, "b": 7} for number in range(10)]
    )  # each of 300 bytes, all different
    with pytest.raises(InvalidRequest, match=r"more than 2999 bytes.*TANDEM_MAX_ANSWER_BYTES") as caught:
        await Facets(store, timeout=10.0, answer_bytes=2999).count("default", ["a"], EVERYTHING, 1)
    assert (caught.value.param, caught.value.code) == ("fields", "limit_exceeded")
    held: list[int] = []
    use_case = Facets(store, timeout=10.0, answer_bytes=3001)
    await use_case.count("default", ["a", "b"], EVERYTHING, 1, held.append)
    assert held[-1] >= 3001

    def refuse(size: int) -> None:
        raise OverBudget("no memory")

    with pytest.raises(OverBudget):
        await use_case.count("default", ["a"], EVERYTHING, 1, refuse)


async def test_many_values_are_sorted_in_a_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(facets, "_SORTED_AT_ONCE", 2)
    store = await filled([{"a": number // 2} for number in range(7)])
    documents, found = await Facets(store, timeout=10.0, answer_bytes=1 << 20).count("default", ["a"], EVERYTHING, 2)
    assert (documents, found["a"]) == (7, Facet([(0, 2), (1, 2)], 3))
