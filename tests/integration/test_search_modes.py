"""Searches of every mode: the hits and the reported mode of each, with both services up."""

from typing import Any

import pytest
from msgspec import UNSET

from tandem_contract.client_api import FusionInput, FusionMethod, FusionWeights, SearchMode
from tests.support.stack import Client

DOCUMENTS = [
    {"id": "cat", "text": "The cat sat on the mat.", "metadata": {"page": 1}},
    {"id": "dog", "text": "A puppy slept in its basket."},
    {"id": "error", "text": "Error E-1042: the flux capacitor overheated (see C++ docs)."},
]


@pytest.fixture
def filled(client: Client, collection: str) -> str:
    client.ingest_and_wait(DOCUMENTS, collection)
    return collection


@pytest.mark.parametrize(
    ("fields", "mode"),
    [({}, "hybrid"), ({"mode": "auto"}, "hybrid"), ({"mode": "hybrid"}, "hybrid"), ({"mode": "dense"}, "dense")],
)
def test_with_an_embedder_search_knows_meanings(client: Client, filled: str, fields: dict[str, Any], mode: str) -> None:
    reply = client.search("a young dog", collection=filled, top_k=1, **fields)
    assert (reply.mode, reply.degraded) == (mode, False)
    (hit,) = reply.results
    assert hit.id == "dog"
    assert 0 < hit.score <= 1
    assert hit.scores is not None
    assert hit.scores.dense == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    "fusion", ["relative", "rrf", "dbsf", FusionInput("rrf", k=10), FusionInput(weights=FusionWeights(1, 2))]
)
def test_hybrid_search_tells_both_scores(client: Client, filled: str, fusion: FusionMethod | FusionInput) -> None:
    reply = client.search("the flux capacitor overheated", collection=filled, fusion=fusion)
    first = reply.results[0]
    assert (reply.mode, first.id, len(reply.results)) == ("hybrid", "error", 3)
    assert first.scores is not None
    assert 0 < (first.scores.dense or 0) < 1
    assert (first.scores.lexical or 0) > 0
    assert all(0 <= hit.score <= 1 for hit in reply.results)


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"fusion": "best"}, "fusion", "best"),
        ({"fusion": {"method": "rrf", "k": 0}}, "fusion.k", "1 to 1000"),
        ({"fusion": {"method": "dbsf", "k": 60}}, "fusion.k", "'rrf'"),
        ({"fusion": {"weights": {"dense": -1, "lexical": 1}}}, "fusion.weights.dense", "0 to 1000"),
        ({"fusion": {"weights": {"dense": 1, "lexical": 1e9}}}, "fusion.weights.lexical", "0 to 1000"),
        ({"fusion": {"weights": {"dense": 0, "lexical": 0}}}, "fusion.weights", "above 0"),
        ({"fusion": {"weights": {"dense": 1, "lexical": 1, "words": 1}}}, "fusion.weights.words", "unknown field"),
        ({"fusion": "rrf", "mode": "dense"}, "fusion", "hybrid and auto"),
        ({"fusion": "rrf", "mode": "lexical"}, "fusion", "hybrid and auto"),
    ],
)
def test_a_wrong_fusion_is_refused_by_name(
    client: Client, filled: str, fields: dict[str, Any], param: str, told: str
) -> None:
    reply = client.http.post("/v1/search", json={"query": "cat", "collection": filled, **fields})
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (422, param)
    assert told in error["message"]


def test_each_of_two_hundred_product_codes_finds_its_product_first(client: Client, collection: str) -> None:
    kinds = ["insulated", "with a wide mouth", "with a straw", "for kids"]
    products = [
        {"id": f"SKU-{48200 + n}", "text": f"SKU-{48200 + n} stainless steel water bottle, {kinds[n % 4]}"}
        for n in range(200)
    ]
    client.ingest_and_wait(products, collection)
    codes = [product["id"] for product in products]
    assert [client.found(code, 1, collection)[0] for code in codes] == codes


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_pages_together_are_the_whole_list(client: Client, collection: str, mode: SearchMode) -> None:
    client.ingest_and_wait(
        [{"id": f"d{n}", "text": f"a note on topic {n} of {n % 7} and {n % 5}"} for n in range(150)], collection
    )
    query = "topic 3 and a note"
    whole = [hit.id for hit in client.search(query, 150, collection, mode).results]
    pages = [hit.id for n in range(0, 160, 40) for hit in client.search(query, 40, collection, mode, offset=n).results]
    assert len(set(whole)) == len(whole) == 150
    assert pages == whole
    assert client.search(query, 5, collection, mode, offset=1000).results == []


@pytest.mark.parametrize("mode", ["dense", "hybrid", "auto"])
def test_hits_below_the_least_cosine_are_left_out(client: Client, filled: str, mode: SearchMode) -> None:
    cosines = {hit.id: hit.scores for hit in client.search("a young dog", 9, filled, mode).results}
    found = [hit.id for hit in client.search("a young dog", 9, filled, mode, min_score=0.3).results]
    assert (
        found == [key for key, scores in cosines.items() if scores and scores.dense and scores.dense >= 0.3] == ["dog"]
    )
    assert client.search("a young dog", 9, filled, mode, min_score=1).results == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"offset": -1}, "offset"),
        ({"offset": 1001}, "offset"),
        ({"min_score": 1.5}, "min_score"),
        ({"min_score": 0.5, "mode": "lexical"}, "min_score"),
    ],
)
def test_a_wrong_page_is_refused_by_name(client: Client, filled: str, fields: dict[str, Any], param: str) -> None:
    reply = client.http.post("/v1/search", json={"query": "cat", "collection": filled, **fields})
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, param)


def test_lexical_search_finds_words_and_not_meanings(client: Client, filled: str) -> None:
    reply = client.search("E-1042", collection=filled, mode="lexical")
    assert (reply.mode, reply.degraded) == ("lexical", False)
    assert [hit.id for hit in reply.results] == ["error"]
    (hit,) = client.search("cats", collection=filled, mode="lexical").results
    assert (hit.id, hit.text, hit.metadata) == ("cat", DOCUMENTS[0]["text"], {"page": 1})
    assert hit.score > 0
    assert client.search("canine", collection=filled, mode="lexical").results == []


@pytest.mark.parametrize("query", ['"', "c++", "hello-world", "NOT AND OR (", "mat*", "text:mat", "!!!", "mat) OR (a"])
def test_no_query_text_acts_as_syntax(client: Client, filled: str, query: str) -> None:
    found = [hit.id for hit in client.search(query, collection=filled, mode="lexical").results]
    assert set(found) <= {document["id"] for document in DOCUMENTS}
    assert ("cat" in found) == ("mat" in query)


@pytest.mark.parametrize("mode", ["auto", "hybrid", "dense", "lexical"])
def test_an_explained_search_has_the_hits_of_another_and_says_why(
    client: Client, filled: str, mode: SearchMode
) -> None:
    asked = {"query": "the cat and E-1042", "collection": filled, "mode": mode}
    plain = client.http.post("/v1/search", json=asked).json()
    reply = client.http.post("/v1/search", json={**asked, "explain": True}).json()
    told = reply.pop("explain")
    places = [hit.pop("explain") for hit in reply["results"]]
    assert {**reply, "took_ms": 0} == {**plain, "took_ms": 0}
    assert sum(each or 0 for each in told["stages_ms"].values()) > 0
    assert told["candidates"]["dense"] == (None if mode == "lexical" else 3)
    for hit, place in zip(reply["results"], places, strict=True):
        for name in ("dense", "lexical"):
            assert (place[name] or {}).get("score") == hit["scores"][name]
        if reply["mode"] == "hybrid":
            parts = sum(each["part"] for each in place.values() if each is not None)
            assert parts == pytest.approx(hit["score"], abs=1e-9)


def test_an_unknown_collection_and_little_time(client: Client, filled: str) -> None:
    body = {"query": "cat", "mode": "lexical"}
    absent = client.http.post("/v1/search", json={**body, "collection": "absent"})
    assert (absent.status_code, absent.json()["error"]["param"]) == (404, "collection")
    headers = {"x-request-timeout-ms": "1"}
    hurried = client.http.post("/v1/search", json={**body, "collection": filled}, headers=headers)
    assert hurried.status_code in (200, 504)


def test_changes_and_deletions_are_seen_at_once(client: Client, filled: str) -> None:
    client.ingest_and_wait([{"id": "cat", "text": "The tiger sat on the mat."}], filled)
    assert client.search("cat", collection=filled, mode="lexical").results == []
    assert [hit.id for hit in client.search("tiger", collection=filled, mode="lexical").results] == ["cat"]
    assert client.http.delete(f"/v1/collections/{filled}/documents/cat").json() == {"deleted": True}
    assert client.search("tiger", collection=filled, mode="lexical").results == []


@pytest.mark.parametrize("mode", ["auto", "hybrid", "lexical"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"sat on the mat"', {"cat"}),
        ('"the mat sat on"', set()),
        ("cat puppy -basket", {"cat"}),
        ("cat -puppy -mat", set()),
        ("pup*", {"dog"}),
        ("-cat", set()),
    ],
)
def test_signs_hold_for_every_hit(
    client: Client, filled: str, mode: SearchMode, query: str, expected: set[str]
) -> None:
    reply = client.search(query, 9, filled, mode)
    found = {hit.id for hit in reply.results}
    if mode == "lexical" or '"' in query or query == "-cat":
        assert found == expected
    else:
        assert found >= expected
    assert not ("-basket" in query and "dog" in found)
    assert not ("-mat" in query and "cat" in found)
    assert ("only_exclusions" in reply.warnings) == (query == "-cat")


def test_in_dense_mode_signs_mean_nothing(client: Client, filled: str) -> None:
    assert len(client.search("cat -mat", 9, filled, "dense").results) == 3


@pytest.mark.parametrize("mode", ["auto", "hybrid", "lexical", "dense"])
def test_the_words_of_the_query_are_highlighted_if_asked(client: Client, filled: str, mode: SearchMode) -> None:
    reply = client.search("capacitors -puppy C++", 1, filled, mode, highlight=True)
    (hit,) = reply.results
    assert hit.id == "error"
    assert isinstance(hit.highlights, list)
    expected = ["capacitor", "C++"]
    assert [hit.text[start:end] for start, end in hit.highlights] == expected
    assert hit.passage is not None
    assert isinstance(hit.passage.highlights, list)
    assert [hit.passage.text[start:end] for start, end in hit.passage.highlights] == expected
    (hit,) = client.search("capacitor", 1, filled, mode).results
    assert hit.highlights is UNSET
    reply = client.http.post("/v1/search", json={"query": "capacitor", "collection": filled})
    assert "highlights" not in reply.text


def test_the_passage_of_a_long_text_has_its_own_highlights(client: Client, collection: str) -> None:
    text = "A plain sentence about nothing in particular. " * 60 + "The needle 🎉 is here: needles."
    client.ingest_and_wait([{"id": "long", "text": text}], collection)
    (hit,) = client.search("needle", 1, collection, "lexical", highlight=True).results
    assert hit.passage is not None
    assert isinstance(hit.highlights, list)
    assert isinstance(hit.passage.highlights, list)
    assert [text[start:end] for start, end in hit.highlights] == ["needle", "needles"]
    assert [hit.passage.text[start:end] for start, end in hit.passage.highlights] == ["needle", "needles"]
    assert hit.passage.highlights != hit.highlights
