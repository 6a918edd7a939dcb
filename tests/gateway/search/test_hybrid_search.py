"""Hybrid search: both retrievers at the same time, one ranking, documents of one state of the store."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderUnavailable,
    GatewayError,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    StorageCorrupt,
    StorageUnavailable,
)
from tandem_gateway.http.filters import read_filter
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.search import (
    USUAL_FIELDS,
    Hit,
    HitField,
    KeywordCandidates,
    RankedPassage,
    SearchMode,
)
from tandem_gateway.use_cases import hybrid_search
from tandem_gateway.use_cases.hybrid_search import rank
from tandem_gateway.use_cases.result_pages import CANDIDATES
from tandem_gateway.use_cases.retrieved import eligible, is_one_state
from tandem_gateway.use_cases.vector_lookup import DenseCandidates
from tests.support.fakes import turns
from tests.support.search_fixtures import PipelineFixture, command


async def test_both_retrievers_are_asked_for_candidates_and_the_fused_ones_are_read_once():
    fixture = PipelineFixture()
    answer = await fixture.ask(mode="hybrid")
    assert [(hit.doc_id, hit.lexical) for hit in answer.hits] == [("word in books", 2.5)]
    assert (answer.mode, answer.degraded) == ("hybrid", False)
    assert fixture.lexical.retrieved == [("books", "q", 100)]
    assert [(query.top_k, query.hydrated) for batch in fixture.index.batches for query in batch] == [(100, False)]
    assert [[each.passage_id for each in asked] for asked in fixture.index.hydrations] == [[2]]
    assert fixture.lexical.asked == []


async def test_the_embedder_is_called_while_keyword_search_runs():
    fixture = PipelineFixture()
    fixture.lexical.waits = asyncio.Event()
    search = asyncio.create_task(fixture.ask(mode="hybrid"))
    while not fixture.embedder.calls:
        await turns(1)
    fixture.lexical.waits.set()
    assert (await search).mode == "hybrid"


@pytest.mark.parametrize("error", [NotReady("x"), Overloaded("x"), DeadlineExceeded("x"), StorageUnavailable("x")])
async def test_without_keyword_search_auto_is_dense_and_says_so_and_hybrid_fails(error: GatewayError):
    fixture = PipelineFixture()
    fixture.lexical.error = error
    answer = await fixture.ask(mode="auto")
    assert (answer.mode, answer.degraded, answer.hits[0].doc_id) == ("dense", True, "in books")
    assert fixture.degraded == 1
    with pytest.raises(type(error)):
        await fixture.ask(mode="hybrid")


@pytest.mark.parametrize("error", [NotFound("x", param="collection"), StorageCorrupt("x")])
async def test_an_error_that_is_not_about_readiness_is_the_answer(error: GatewayError):
    fixture = PipelineFixture()
    fixture.lexical.error = error
    for mode in ("auto", "hybrid"):
        with pytest.raises(type(error)):
            await fixture.ask(mode=mode)


async def test_without_vectors_hybrid_fails():
    fixture = PipelineFixture()
    fixture.embedder.surprise = EmbedderUnavailable("away")
    with pytest.raises(EmbedderUnavailable):
        await fixture.ask(mode="hybrid")


async def test_a_failed_search_leaves_no_keyword_search_behind():
    fixture = PipelineFixture()
    fixture.lexical.waits = asyncio.Event()
    fixture.embedder.surprise = EmbedderUnavailable("away")
    with pytest.raises(EmbedderUnavailable):
        await fixture.ask(mode="hybrid")
    assert [task for task in asyncio.all_tasks() if task.get_name() == "keyword search"] == []


async def test_a_search_repeats_while_a_document_found_is_replaced_and_ends():
    fixture = PipelineFixture()
    fixture.index.gone = {2}
    answer = await fixture.ask(mode="hybrid")
    assert answer.hits == []
    assert len(fixture.index.hydrations) == len(fixture.lexical.retrieved) == 3


def ranking(*passage_ids: int) -> list[RankedPassage]:
    """Return passages by descending cosine."""
    return [RankedPassage(number, 1 - place / 1000, dense=1 - place / 1000) for place, number in enumerate(passage_ids)]


def words(*passage_ids: int) -> KeywordCandidates:
    passages = [RankedPassage(n, 500.0 - place, lexical=500.0 - place) for place, n in enumerate(passage_ids)]
    return KeywordCandidates(passages, 500.0)


@given(
    st.permutations(range(1, 260)), st.permutations(range(1, 260)), st.integers(0, 259), st.integers(0, 259),
    st.integers(CANDIDATES, 259),
)  # fmt: skip
def test_a_shorter_ranking_is_the_beginning_of_a_longer_one(
    by_vector: list[int], by_words: list[int], vectors: int, keywords: int, depth: int
):
    dense, lexical = ranking(*by_vector[:vectors]), words(*by_words[:keywords])
    whole, _ = rank(DenseCandidates(dense), lexical, command("q", 1000))
    cut = KeywordCandidates(lexical.passages[:depth], lexical.weight)
    shorter, _ = rank(DenseCandidates(dense[:depth]), cut, command("q", 1000))
    assert [each.passage_id for each in whole[: len(shorter)]] == [each.passage_id for each in shorter]
    page, _ = rank(DenseCandidates(dense), lexical, command("q", depth))
    assert page[:depth] == whole[:depth]
    assert len({each.passage_id for each in whole}) == len(whole) == len({*by_vector[:vectors], *by_words[:keywords]})
    assert [each.score for each in whole] == sorted((each.score for each in whole), reverse=True)


def test_what_is_too_far_is_no_hit():
    ranked = [*ranking(5, 6, 7, 8), RankedPassage(9, 0.1, lexical=3.0)]
    assert eligible(ranked, command("q")) == ranked
    assert [each.passage_id for each in eligible(ranked, replace(command("q"), min_score=0.998))] == [5, 6, 7]


async def test_a_least_cosine_needs_vectors():
    fixture = PipelineFixture()
    asked = replace(command("q", collection="books"), min_score=0.5)
    fixture.embedder.coverage = lambda text: Coverage(unknown=0.7)
    assert (await fixture.use_case.answer(asked)).mode == "dense"
    fixture.embedder.surprise = EmbedderUnavailable("away")
    with pytest.raises(EmbedderUnavailable):
        await fixture.use_case.answer(asked)
    with pytest.raises(InvalidRequest, match="min_score"):
        await fixture.use_case.answer(replace(asked, mode="lexical"))


@pytest.mark.parametrize(
    ("mode", "include", "exclude", "texts"),
    [
        ("hybrid", [], [], True),
        ("hybrid", [], ["text"], True),
        ("hybrid", [], ["passage"], True),
        ("hybrid", [], ["text", "passage"], False),
        ("hybrid", ["vector"], ["text", "passage"], True),
        ("dense", ["vector"], ["text", "passage", "metadata"], False),
        ("lexical", ["metadata"], ["text", "passage"], False),
    ],
)
async def test_texts_are_read_only_if_the_answer_needs_them(
    mode: SearchMode, include: list[HitField], exclude: list[HitField], texts: bool
):
    fixture = PipelineFixture()
    asked = replace(command("q", collection="books", mode=mode), include=frozenset(include), exclude=frozenset(exclude))
    answer = await fixture.use_case.answer(asked)
    assert answer.fields == (USUAL_FIELDS | {*include}) - {*exclude}
    assert set(fixture.index.texts) == {texts}
    assert set(fixture.index.metadata) == {"metadata" not in exclude}


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
async def test_the_vector_of_a_hit_comes_if_it_is_asked_for(mode: SearchMode):
    fixture = PipelineFixture()
    fixture.index.vectors_by_id = {1: b"one.", 2: b"two."}
    asked = replace(command("q", collection="books", mode=mode), include=frozenset({"vector"}))
    answer = await fixture.use_case.answer(asked)
    assert [hit.vector for hit in answer.hits] == [b"one." if mode == "dense" else b"two."]


async def test_a_search_repeats_while_a_passage_found_by_its_vector_has_lost_it():
    fixture = PipelineFixture()
    asked = replace(command("q", collection="books", mode="dense"), include=frozenset({"vector"}))
    assert [hit.vector for hit in (await fixture.use_case.answer(asked)).hits] == [None]
    assert len(fixture.index.hydrations) == 3
    answer = await fixture.use_case.answer(replace(asked, mode="lexical"))
    assert ([hit.vector for hit in answer.hits], len(fixture.index.hydrations)) == ([None], 4)


def hit(doc_id: str) -> Hit:
    return Hit(doc_id, 1.0, "text", "{}")


def test_two_versions_of_a_document_are_not_of_one_state():
    ranked = [RankedPassage(1, 0.9), RankedPassage(2, 0.8)]
    assert is_one_state([hit("a"), hit("b")], ranked)
    assert not is_one_state([hit("a"), hit("a")], ranked)
    assert not is_one_state([hit("a")], ranked)


@pytest.mark.parametrize(
    ("coverage", "words", "answered_by", "passages"),
    [
        (Coverage(), [2], "hybrid", [2, 1]),
        (Coverage(), [], "hybrid", [1]),
        (Coverage(), None, "dense", [1]),
        (Coverage(unknown=0.7), [2], "lexical", [2]),
        (Coverage(unknown=0.7), [], "dense", [1]),
        (Coverage(unknown=0.7), None, "dense", [1]),
        (Coverage(unknown=1.0), [], "lexical", []),
    ],
)
def test_what_the_model_and_the_index_know_decides_the_ranking(
    coverage: Coverage, words: list[int] | None, answered_by: str, passages: list[int]
):
    lexical = None
    if words is not None:
        lexical = KeywordCandidates([RankedPassage(number, 2.0, lexical=2.0) for number in words], 2.0)
    ranked, mode = rank(DenseCandidates([RankedPassage(1, 0.5, dense=0.5)], coverage), lexical, command("q", 2))
    assert (mode, [each.passage_id for each in ranked]) == (answered_by, passages)


FILTERED = read_filter(b'{"lang": "en"}')


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical", "auto"])
async def test_a_filtered_search_of_any_mode_searches_among_the_passages_that_match(mode: SearchMode):
    fixture = PipelineFixture()
    answer = await fixture.use_case.answer(replace(command("q", collection="books", mode=mode), filter=FILTERED))
    assert (answer.mode, answer.degraded) == ("hybrid" if mode == "auto" else mode, False)
    (among,) = fixture.filters.answers
    assert fixture.filters.asked == [("books", FILTERED)] * 2
    assert [query.among is among for batch in fixture.index.batches for query in batch] == [True] * (mode != "lexical")
    assert [each is among for each in fixture.lexical.among] == [True] * (mode != "dense")


async def test_a_filtered_search_repeats_if_the_passages_that_match_have_changed():
    fixture = PipelineFixture()
    first, second = np.array([1], np.uint64), np.array([1, 2], np.uint64)
    fixture.filters.answers = [first, second, second]
    await fixture.use_case.answer(replace(command("q", mode="hybrid"), filter=FILTERED))
    assert [each is first for each in fixture.lexical.among] == [True, False]
    fixture.filters.answers = [np.array([number], np.uint64) for number in range(20)]
    await fixture.use_case.answer(replace(command("q", mode="hybrid"), filter=FILTERED))
    assert len(fixture.lexical.among) == 5


async def test_a_filter_index_that_is_not_ready_fails_the_search_and_blames_no_embedder():
    fixture = PipelineFixture()
    fixture.filters.error = NotReady("being read")
    for _ in range(3):
        with pytest.raises(NotReady):
            await fixture.use_case.answer(replace(command("q"), filter=FILTERED))
    fixture.filters.error = None
    assert (await fixture.use_case.answer(replace(command("q"), filter=FILTERED))).mode == "hybrid"


async def test_without_an_embedder_auto_answers_a_filtered_search_by_words():
    fixture = PipelineFixture()
    fixture.embedder.surprise = EmbedderUnavailable("away")
    answer = await fixture.use_case.answer(replace(command("q"), filter=FILTERED))
    assert (answer.mode, answer.degraded) == ("lexical", True)
    assert all(each is not None for each in fixture.lexical.among)


async def test_what_a_query_leaves_out_no_half_finds_and_the_model_does_not_read():
    fixture = PipelineFixture()
    fixture.lexical.allows = [np.array([2, 3], np.uint64)]
    await fixture.ask('"a pet" -cat rug*', "hybrid")
    assert [text.split() for call in fixture.embedder.calls for text in call] == [["a", "pet", "rug"]]
    assert [asked.among.tolist() for batch in fixture.index.batches for asked in batch] == [[2, 3]]
    assert [among.tolist() for among in fixture.lexical.among] == [[2, 3]]
    assert fixture.lexical.retrieved == [("books", '"a pet" -cat rug*', 100)]


@pytest.mark.parametrize("at_once", [50_000, 0])
async def test_a_filter_and_an_exclusion_hold_together(at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hybrid_search, "_AT_ONCE_KEYS", at_once)
    fixture = PipelineFixture()
    fixture.lexical.allows = [np.array([2, 3, 9], np.uint64)]
    fixture.filters.answers = [np.array([1, 2, 3], np.uint64)]
    asked = replace(command("pet -cat", collection="books", mode="hybrid"), filter=read_filter(b'{"a":1}'))
    await fixture.use_case.answer(asked)
    assert [asked.among.tolist() for batch in fixture.index.batches for asked in batch] == [[2, 3]]


async def test_a_search_repeats_while_the_documents_that_it_may_show_change():
    fixture = PipelineFixture()
    fixture.lexical.allows = [np.array(keys, np.uint64) for keys in ([1], [2], [2], [2])]
    await fixture.ask("pet -cat", "hybrid")
    assert [asked.among.tolist() for batch in fixture.index.batches for asked in batch] == [[1], [2]]


async def test_without_the_keyword_index_nothing_answers_a_query_that_leaves_out_documents():
    fixture = PipelineFixture()
    fixture.lexical.error = NotReady("x")
    for asked in ("pet -cat", '"a pet"'):
        with pytest.raises(NotReady):
            await fixture.ask(asked)
    assert (await fixture.ask("pet*")).degraded


async def test_without_vectors_auto_answers_such_a_query_by_keywords():
    fixture = PipelineFixture()
    fixture.embedder.surprise = EmbedderUnavailable("away")
    answer = await fixture.ask("pet -cat")
    assert (answer.mode, answer.degraded) == ("lexical", True)


@pytest.mark.parametrize("mode", ["auto", "hybrid", "lexical"])
async def test_a_query_of_exclusions_only_asks_no_embedder_and_says_so(mode: SearchMode):
    fixture = PipelineFixture()
    fixture.lexical.finds = False
    answer = await fixture.ask("-cat", mode)
    assert (answer.mode, answer.hits, answer.only_exclusions, answer.degraded) == ("lexical", [], True, False)
    assert fixture.embedder.calls == []


async def test_in_dense_mode_a_query_is_meaning_only():
    fixture = PipelineFixture()
    await fixture.ask('"a pet" -cat', "dense")
    assert fixture.embedder.calls == [['"a pet" -cat']]
