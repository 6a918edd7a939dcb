"""Searches from the vector of a document, or from a given one."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tandem_gateway.errors import Conflict, FingerprintMismatch, GatewayError, InvalidRequest, NotFound
from tandem_gateway.http.filters import read_filter
from tandem_gateway.index.state import DocumentVector
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.use_cases.commands import SimilarCommand
from tandem_gateway.use_cases.result_pages import Answer, ResultPages
from tandem_gateway.use_cases.similar_search import MAX_NUMBERS, SimilarSearch, unit_vector
from tests.support.fakes import DIM, FINGERPRINT, MODEL, eventually, vector_of
from tests.support.search_fixtures import LIMITS, FakeFilters, SearchFixture, command


class FakeSource:
    """Implements ``VectorSource``: every document is the passage 9, with the vector of its id."""

    def __init__(self) -> None:
        self.record = CollectionRecord(1, "books", 1, FINGERPRINT, MODEL, DIM, 1, 0)
        self.error: GatewayError | None = None

    async def collection(self, name: str, *, timeout: float) -> CollectionRecord:
        assert name == "books"
        return self.record

    async def document_vector(self, collection: str, doc_id: str, *, timeout: float) -> DocumentVector:
        if self.error is not None:
            raise self.error
        return DocumentVector(self.passage, QueryVector(vector_of(doc_id), MODEL, self.fingerprint))

    passage = 9
    fingerprint = FINGERPRINT


class Fixture(SearchFixture):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.filters = FakeSource(), FakeFilters()
        self.modes: list[str] = []
        self.similar = SimilarSearch(
            self.use_case,
            self.source,
            ResultPages(self.index, self.filters),
            request_limits=LIMITS,
            timeout=30.0,
            answered=self.modes.append,
        )

    async def like(self, doc_id: str | None = None, vector: Sequence[float] | None = None, **page: object) -> Answer:
        asked = replace(command("", 1, "books", "dense"), **page)
        return await self.similar.answer(SimilarCommand(doc_id, vector, asked))


async def test_a_search_by_a_document_starts_from_its_vector_and_calls_no_embedder():
    fixture = Fixture()
    answer = await fixture.like("a")
    ((query,),) = fixture.index.batches
    np.testing.assert_array_equal(query.vector, vector_of("a"))
    assert (query.fingerprint, query.top_k, query.hydrated) == (FINGERPRINT, 101, False)
    assert [hit.doc_id for hit in answer.hits] == ["in books"]
    assert (answer.mode, fixture.modes, fixture.embedder.calls) == ("dense", ["dense"], [])


async def test_a_search_during_a_switch_to_another_model_reads_the_vector_again():
    fixture = Fixture()
    other = "e" * 32
    fixture.index.held = True
    asked = asyncio.create_task(fixture.like("a"))
    await eventually(lambda: asyncio.sleep(0, len(fixture.index.pending)), bool)
    fixture.index.held = False
    fixture.source.fingerprint = other
    fixture.index.pending[0].set_result([FingerprintMismatch("books", pinned=other, offered=FINGERPRINT)])
    assert [hit.doc_id for hit in (await asked).hits] == ["in books"]
    assert [query.fingerprint for (query,) in fixture.index.batches] == [FINGERPRINT, other]


async def test_the_document_itself_is_no_hit():
    fixture = Fixture()
    fixture.source.passage = 1
    assert (await fixture.like("a")).hits == []


async def test_a_document_that_is_replaced_during_the_search_is_no_hit():
    fixture = Fixture()
    assert (await fixture.like("in books")).hits == []
    assert len(fixture.index.batches) == 3


async def test_a_search_by_a_vector_makes_it_one_of_unit_length():
    fixture = Fixture()
    await fixture.like(vector=[3.0, *[0.0] * 6, 4.0])
    ((query,),) = fixture.index.batches
    np.testing.assert_allclose(query.vector, [0.6, *[0.0] * 6, 0.8], rtol=1e-6)
    assert (query.vector.dtype, query.top_k) == (np.float32, 100)


async def test_a_filter_narrows_it():
    fixture = Fixture()
    await fixture.like("a", filter=read_filter(b'{"lang": "en"}'))
    ((query,),) = fixture.index.batches
    assert query.among is fixture.filters.answers[0]


async def test_a_collection_without_vectors_has_no_hits():
    fixture = Fixture()
    fixture.source.record = CollectionRecord(1, "books", 1, None, None, None, 0, 0)
    assert (await fixture.like(vector=[1.0])).hits == []


@pytest.mark.parametrize("error", [NotFound("x", param="document_id"), Conflict("x", param="document_id")])
async def test_a_document_without_a_vector_is_an_error(error: GatewayError):
    fixture = Fixture()
    fixture.source.error = error
    with pytest.raises(type(error)):
        await fixture.like("a")
    assert fixture.modes == []


@pytest.mark.parametrize(
    ("asked", "param", "told"),
    [
        ({}, "document_id", "either"),
        ({"doc_id": "a", "vector": [1.0]}, "document_id", "not both"),
        ({"doc_id": ""}, "document_id", "1 to 256"),
        ({"vector": []}, "vector", f"1 to {MAX_NUMBERS}"),
        ({"vector": [1.0] * (MAX_NUMBERS + 1)}, "vector", f"1 to {MAX_NUMBERS}"),
        ({"vector": [1.0] * (DIM + 1)}, "vector", f"{DIM} numbers were expected"),
        ({"vector": [0.0] * DIM}, "vector", "other than 0"),
        ({"vector": [-0.0] * DIM}, "vector", "other than 0"),
        ({"vector": [math.nan] * DIM}, "vector", "not finite"),
        ({"vector": [math.inf, *[0.0] * (DIM - 1)]}, "vector", "not finite"),
        ({"doc_id": "a", "top_k": 11}, "top_k", "1 to 10"),
        ({"doc_id": "a", "offset": -1}, "offset", "0 to 10"),
        ({"doc_id": "a", "min_score": 2.0}, "min_score", "-1 to 1"),
        ({"doc_id": "a", "include": frozenset({"text"}), "exclude": frozenset({"text"})}, "exclude", "'text'"),
    ],
)
async def test_a_wrong_field_is_named(asked: dict[str, object], param: str, told: str):
    fixture = Fixture()
    with pytest.raises(InvalidRequest, match=told) as caught:
        await fixture.like(**asked)  # type: ignore[arg-type]
    assert caught.value.param == param
    assert fixture.index.batches == []


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50).filter(any))
def test_any_numbers_but_zeros_become_a_unit_vector_of_their_direction(numbers: list[float]):
    made = unit_vector(numbers)
    assert np.linalg.norm(made.astype(np.float64)) == pytest.approx(1.0, abs=1e-5)
    largest = max(range(len(numbers)), key=lambda place: abs(numbers[place]))
    assert math.copysign(1.0, float(made[largest])) == math.copysign(1.0, numbers[largest])
