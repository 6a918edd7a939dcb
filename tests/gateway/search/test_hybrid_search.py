"""Hybrid search: both retrievers at the same time, one ranking, documents of one state of the store."""

import asyncio

import pytest

from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderUnavailable,
    GatewayError,
    NotFound,
    NotReady,
    Overloaded,
    StorageCorrupt,
    StorageUnavailable,
)
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.search import Hit, KeywordCandidates, RankedPassage
from tandem_gateway.use_cases.dense_search import DenseCandidates
from tandem_gateway.use_cases.fusion import DEFAULT_FUSION
from tandem_gateway.use_cases.hybrid_search import is_one_state, rank
from tests.support.fakes import turns
from tests.support.search_fixtures import PipelineFixture


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
    ranked, mode = rank(DenseCandidates([RankedPassage(1, 0.5, dense=0.5)], coverage), lexical, DEFAULT_FUSION)
    assert (mode, [each.passage_id for each in ranked]) == (answered_by, passages)
