"""The explanation of an answer agrees with the answer, and costs nothing if nobody asks for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tandem_gateway.errors import NotReady
from tandem_gateway.http.filters import read_filter
from tandem_gateway.records.explanation import HitExplanation, Place
from tandem_gateway.records.search import KeywordCandidates, RankedPassage, SearchMode
from tandem_gateway.use_cases.explaining import places
from tandem_gateway.use_cases.fusion import Fusion, FusionMethod
from tandem_gateway.use_cases.hybrid_search import rank
from tandem_gateway.use_cases.result_pages import CANDIDATES
from tandem_gateway.use_cases.vector_lookup import DenseCandidates
from tests.support.search_fixtures import PipelineFixture, command

rankings = st.dictionaries(st.integers(1, 300), st.floats(0.01, 1.0), max_size=130).map(
    lambda scores: sorted(scores.items(), key=lambda item: (-item[1], item[0]))
)


@given(rankings, rankings, st.sampled_from(["relative", "rrf", "dbsf"]), st.floats(0.0, 5.0), st.floats(0.1, 5.0))
def test_the_parts_of_a_hit_are_its_fused_score_and_its_ranks_are_its_places(
    by_vector: list[tuple[int, float]],
    by_words: list[tuple[int, float]],
    method: FusionMethod,
    dense_weight: float,
    lexical_weight: float,
):
    dense = [RankedPassage(number, score, dense=score) for number, score in by_vector]
    lexical = KeywordCandidates([RankedPassage(number, score, lexical=score) for number, score in by_words], 1.5)
    fusion = Fusion(method, dense_weight, lexical_weight)
    ranked, mode = rank(DenseCandidates(dense), lexical, replace(command("q"), fusion=fusion))
    assert mode == "hybrid"
    explained = places([each.passage_id for each in ranked], dense, lexical, fusion, CANDIDATES)
    for each, found in zip(ranked, explained, strict=True):
        assert sum(place.part or 0.0 for place in found if place is not None) == pytest.approx(each.score, abs=1e-9)
        for ranking, place in ((by_vector, found.dense), (by_words, found.lexical)):
            if place is None:
                assert each.passage_id not in dict(ranking)
            else:
                assert ranking[place.rank - 1] == (each.passage_id, place.score)


@pytest.mark.parametrize(
    ("mode", "stages", "counts", "hits"),
    [
        ("dense", {"queue", "embed", "index", "fetch"}, (1, None), [True, False]),
        ("lexical", {"words", "fetch"}, (None, 1), [False, True]),
        ("hybrid", {"queue", "embed", "index", "words", "fetch"}, (1, 1), [False, True]),
        ("auto", {"queue", "embed", "index", "words", "fetch"}, (1, 1), [False, True]),
    ],
)
async def test_each_mode_tells_what_it_did(
    mode: SearchMode, stages: set[str], counts: tuple[int | None, int | None], hits: list[bool]
):
    fixture = PipelineFixture()
    plain = await fixture.ask(mode=mode)
    assert plain.explanation is None
    answer = await fixture.use_case.answer(replace(command("q", 1, "books", mode), explain=True))
    told = answer.explanation
    assert told is not None
    assert ({*told.stages.seconds}, told.stages.attempts) == (stages, 1)
    assert all(seconds >= 0 for seconds in told.stages.seconds.values())
    assert (told.dense, told.lexical, told.matching) == (*counts, None)
    assert [[place is not None for place in each] for each in told.hits] == [hits]
    assert [hit.doc_id for hit in answer.hits] == [hit.doc_id for hit in plain.hits]


async def test_a_cached_vector_and_a_filter_are_seen():
    fixture = PipelineFixture(kept=4)
    fixture.index.pinned["books"] = "f" * 32
    asked = replace(command("q", 1, "books", "dense"), explain=True, filter=read_filter(b'{"lang": "en"}'))
    await fixture.use_case.answer(asked)
    told = (await fixture.use_case.answer(asked)).explanation
    assert told is not None
    assert ({*told.stages.seconds}, told.matching) == ({"filter", "index", "fetch"}, 1)


async def test_a_search_that_began_again_says_so():
    fixture = PipelineFixture()
    fixture.index.gone = {2}
    told = (await fixture.use_case.answer(replace(command("q", 1, "books", "hybrid"), explain=True))).explanation
    assert told is not None
    assert (told.stages.attempts, told.hits) == (3, [])


async def test_keyword_search_that_could_not_answer_is_missing():
    fixture = PipelineFixture()
    fixture.lexical.error = NotReady("x")
    told = (await fixture.use_case.answer(replace(command("q", 1, "books"), explain=True))).explanation
    assert told is not None
    assert (told.dense, told.lexical, [*told.stages.seconds]) == (1, None, ["queue", "embed", "index", "fetch"])
    assert isinstance(told.hits[0], HitExplanation)
    assert told.hits[0].dense == Place(1, told.hits[0].dense.score, None)  # type: ignore[union-attr]
