"""The best hit of each group: exact within its bound, and told where the bound was reached."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.filters.matching import decode_metadata
from tandem_gateway.records.coverage import WHOLE
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.search import Hit, Hits, RankedPassage
from tandem_gateway.use_cases import result_pages
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.grouping import Groups, group_of
from tandem_gateway.use_cases.result_pages import Answer, ResultPages
from tandem_gateway.use_cases.retrieved import Found
from tests.support.fakes import run
from tests.support.search_fixtures import FakeFilters, command

values = st.sampled_from([0, 1, 2.5, "a", "b", None, True, [1], [2], {"x": 1}, "l" * 100, ...])


class Collection:
    """A ranking of documents, of which each has a value of the field ``of.kind``; ``...`` for none."""

    def __init__(self, kinds: Sequence[Any]) -> None:
        self.metadata = [json.dumps({"of": {} if kind is ... else {"kind": kind}}) for kind in kinds]
        self.ranked = [RankedPassage(n + 1, 1 - n / 1e6, dense=1 - n / 1e6) for n in range(len(kinds))]
        self.counts: list[int] = []
        self.gone: set[int] = set()
        self.pages = ResultPages(self, FakeFilters())

    async def retrieve(self, count: int, until: float, stages: Stages | None) -> Found:
        self.counts.append(count)
        found = self.ranked[:count]
        return Found(found, "dense", False, WHOLE, None, found)

    async def hydrate(
        self, ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        return Hits(
            Hit(f"d{each.passage_id}", each.score, "", self.metadata[each.passage_id - 1], first=each.passage_id)
            for each in ranked
            if each.passage_id not in self.gone
        )

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        return hits

    async def vectors(self, collection: str, passage_ids: Sequence[int], *, timeout: float) -> dict[int, bytes]:
        return {}

    async def search(self, asked: SearchCommand) -> Answer:
        return await self.pages.answer(asked, 30.0, 30.0, self.retrieve)


def grouped(top_k: int, offset: int = 0, **more: Any) -> SearchCommand:
    return replace(command("q", top_k, mode="dense"), group_by="of.kind", offset=offset, **more)


def best_of_each(kinds: Sequence[Any]) -> list[str]:
    found: dict[Any, str] = {}
    for number, kind in enumerate(kinds, 1):
        key = (type(kind).__name__, json.dumps(kind)) if kind is not ... else number
        found.setdefault(key, f"d{number}")
    return list(found.values())


@given(st.lists(values, max_size=400), st.integers(1, 10), st.integers(0, 10))
def test_the_hits_are_the_best_of_each_group(kinds: list[Any], top_k: int, offset: int):
    answer = run(lambda: Collection(kinds).search(grouped(top_k, offset)))
    assert [hit.doc_id for hit in answer.hits] == best_of_each(kinds)[offset : offset + top_k]
    assert not answer.limited


async def test_it_goes_on_until_it_has_enough_groups():
    kinds = ["a"] * 700 + ["b"] + ["a"] * 2000 + ["c"]
    collection = Collection(kinds)
    answer = await collection.search(grouped(2))
    assert ([hit.doc_id for hit in answer.hits], collection.counts) == (["d1", "d701"], [100, 400, 1600])
    answer = await collection.search(grouped(4))
    assert ([hit.doc_id for hit in answer.hits], answer.limited) == (["d1", "d701", "d2702"], False)


async def test_it_ends_at_its_bound_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(result_pages, "MAX_GROUPED", 150)
    collection = Collection(["a"] * 149 + ["b", "c"])
    answer = await collection.search(grouped(3))
    assert ([hit.doc_id for hit in answer.hits], answer.limited, collection.counts) == (
        ["d1", "d150"],
        True,
        [100, 150],
    )
    assert not (await collection.search(grouped(2))).limited
    assert not (await Collection(["a"] * 149).search(grouped(2))).limited


async def test_hits_too_far_away_are_in_no_group():
    answer = await Collection(["a", "b", "c"]).search(grouped(3, min_score=1 - 1.5e-6))
    assert [hit.doc_id for hit in answer.hits] == ["d1", "d2"]


async def test_a_search_repeats_while_a_document_that_it_grouped_is_replaced():
    collection = Collection(["a", "b", "c"])
    collection.gone = {1}
    answer = await collection.search(grouped(1))
    assert ([hit.doc_id for hit in answer.hits], len(collection.counts)) == (["d2"], 3)


async def test_much_metadata_is_read_as_well():
    collection = Collection([f"{n % 3}" + "x" * 2000 for n in range(300)])
    assert [hit.doc_id for hit in (await collection.search(grouped(9))).hits] == ["d1", "d2", "d3"]


async def test_damaged_metadata_is_reported():
    collection = Collection(["a"])
    collection.metadata = ["{"]
    with pytest.raises(StorageCorrupt):
        await collection.search(grouped(1))


@pytest.mark.parametrize("more", [{"group_by": "a"}, {"diversity": 0.1}, {"explain": True}, {"exclude": {"text"}}])
def test_an_answer_that_is_made_otherwise_is_not_plain(more: dict[str, Any]):
    assert command("q").is_plain
    assert not replace(command("q"), **more).is_plain


def test_numbers_are_equal_by_value_and_not_to_booleans_or_texts():
    kept = decode_metadata(
        '{"a": 1, "b": 1.0, "c": true, "d": "1", "e": [1], "f": [1.0], "g": {"x": 1}, "h": {"x": 1.00}}'
    )
    keys = {name: group_of(value) for name, value in kept.items()}
    assert keys["a"] == keys["b"]
    assert (keys["e"], keys["g"]) == (keys["f"], keys["h"])
    assert len(set(keys.values())) == 5
    assert group_of("x" * 100) != group_of("x" * 101)


def test_a_group_ends_at_the_first_document_that_is_not_read():
    groups = Groups("of.kind")
    ranked = [RankedPassage(n, 1.0) for n in (1, 2, 3)]
    groups.read(ranked[::2], [Hit(f"d{n}", 1.0, "", json.dumps({"of": {"kind": n}}), first=n) for n in (1, 3)])
    assert groups.unread(ranked) == [ranked[1]]
    assert groups.best(ranked, 9) == ranked[:1]
