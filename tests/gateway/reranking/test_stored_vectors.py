"""Searches that are reranked by the vectors of the store: their scores are those of the texts."""

from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from tandem_gateway.adapters.reranking.cosine import CosineLimits, CosineReranker
from tandem_gateway.errors import InvalidRequest, RerankerUnavailable
from tandem_gateway.records.search import Hit, Hits
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.commands import RerankChoice, SearchCommand
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tandem_gateway.use_cases.stored_vectors import StoredVectors
from tests.gateway.reranking.gateways import gateway
from tests.gateway.reranking.test_search import QUERY, fill
from tests.gateway.reranking.test_search_reranker import FakeHydrator
from tests.support.fakes import FINGERPRINT, MODEL, FakeEmbedder, vector_of
from tests.support.http_embedder import HttpFakeEmbedder

TEXTS = ["a cat", "a dog", "some tea"]
COMMAND = SearchCommand("a pet", 3, "default", "dense", rerank=RerankChoice(3))


def reranker(embedder: FakeEmbedder) -> CosineReranker:
    queries = QueryEmbedder(embedder, coalescing=CoalescingLimits(32, 3), max_queued=100, cached_vectors=100)
    return CosineReranker(queries, embedder, CosineLimits(batch=4, batch_bytes=1000, calls=2))


def stored(text: str) -> bytes:
    return vector_of(text).astype("<f4").tobytes()


async def test_the_scores_are_those_of_the_texts_and_only_the_query_is_embedded() -> None:
    embedder = FakeEmbedder()
    reranks = reranker(embedder)
    found = await reranks.rerank_vectors("a pet", [stored(text) for text in TEXTS], FINGERPRINT, timeout=10)
    assert found is not None
    assert embedder.calls == [["a pet"]]
    expected = await reranks.rerank("a pet", TEXTS, timeout=10)
    assert found.scores == pytest.approx(expected.scores, abs=1e-5)
    assert (found.model, found.query_truncated) == (MODEL, False)


async def test_no_vectors_have_no_scores() -> None:
    found = await reranker(FakeEmbedder()).rerank_vectors("a pet", [], FINGERPRINT, timeout=10)
    assert found is not None
    assert found.scores == []


@pytest.mark.parametrize(
    ("vector", "fingerprint"),
    [(stored("a"), "another model's"), (np.zeros(3, "<f4").tobytes(), FINGERPRINT), (b"abc", FINGERPRINT)],
)
async def test_vectors_of_another_model_are_not_compared(vector: bytes, fingerprint: str) -> None:
    assert await reranker(FakeEmbedder()).rerank_vectors("a pet", [vector], fingerprint, timeout=10) is None


async def test_another_models_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="model"):
        await reranker(FakeEmbedder()).rerank_vectors("a pet", [stored("a")], FINGERPRINT, timeout=10, model="another")


class Vectors(FakeHydrator):
    """Implements ``Hydrator`` for hits whose vectors a test may take away."""

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        return Hits(
            hit if hit.doc_id in self.gone_documents else Hit(hit.doc_id, 1.0, hit.text, "{}", vector=stored(hit.text))
            for hit in hits
        )

    gone_documents: frozenset[str] = frozenset()


def hits() -> Hits:
    return Hits(Hit(text, 1.0, text, "{}") for text in TEXTS)


async def test_hits_are_scored_by_their_vectors() -> None:
    found = await StoredVectors(reranker(FakeEmbedder()), Vectors(), lambda _: FINGERPRINT).scores(COMMAND, hits(), 1e9)
    assert found is not None
    expected = [(1 + float(vector_of("a pet") @ vector_of(text))) / 2 for text in TEXTS]
    assert found.scores == pytest.approx(expected, abs=1e-5)


async def test_hits_without_a_vector_are_to_be_embedded() -> None:
    hydrator = Vectors()
    hydrator.gone_documents = frozenset({"a dog"})
    scores = StoredVectors(reranker(FakeEmbedder()), hydrator, lambda _: FINGERPRINT)
    assert await scores.scores(COMMAND, hits(), 1e9) is None


async def test_hits_of_a_collection_that_switches_meanwhile_are_to_be_embedded() -> None:
    fingerprints = iter([FINGERPRINT, "the next model's"])
    scores = StoredVectors(reranker(FakeEmbedder()), Vectors(), lambda _: next(fingerprints))
    assert await scores.scores(COMMAND, hits(), 1e9) is None
    none = StoredVectors(reranker(FakeEmbedder()), Vectors(), lambda _: None)
    assert await none.scores(COMMAND, hits(), 1e9) is None


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
async def test_a_search_has_the_scores_of_the_route_and_embeds_no_document(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*args: object, **options: object) -> None:
        raise RerankerUnavailable("the search embeds its documents")

    with HttpFakeEmbedder() as embedder:
        async with gateway(tmp_path, embedder.url) as client:
            await fill(client)
            with monkeypatch.context() as patch:
                patch.setattr(CosineReranker, "rerank", refuse)
                reply = await search(client, mode)
            assert len(reply) >= 4
            texts = list(reply)
            route = (await client.post("/v1/rerank", json={"query": QUERY, "documents": texts})).json()
            expected = {texts[each["index"]]: each["relevance_score"] for each in route["results"]}
            assert reply == pytest.approx(expected, abs=1e-5)


async def search(client: httpx.AsyncClient, mode: str) -> dict[str, float]:
    """Return the score of each passage that a reranked search found."""
    body = {"query": QUERY, "mode": mode, "top_k": 100, "rerank": {"top_n": 100}}
    reply = (await client.post("/v1/search", json=body)).json()
    assert reply["reranked"] is True
    return {hit["passage"]["text"]: hit["scores"]["rerank"] for hit in reply["results"]}
