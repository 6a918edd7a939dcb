"""Options of a search in combination: they do not change what each of them promises alone."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.stack import Client
from tests.support.texts import distinct_texts

COLLECTION = "search-options"
DOCUMENTS = 30
FIELDS = ["text", "metadata", "passage"]

options = st.fixed_dictionaries(
    {
        "query": st.sampled_from(["the first one", "a letter of words", "stone", "-stone word", '"of the" river']),
        "mode": st.sampled_from(["auto", "hybrid", "dense", "lexical"]),
    },
    optional={
        "filter": st.sampled_from([{"kind": 1}, {"n": {"$lt": 20}}, {"kind": {"$in": [0, 2]}, "n": {"$gte": 4}}]),
        "diversity": st.sampled_from([0.0, 0.4, 1.0]),
        "group_by": st.sampled_from(["kind", "n", "nowhere"]),
        "consistency": st.sampled_from(["strong", "session", "bounded"]),
        "highlight": st.booleans(),
        "include": st.just(["vector"]),
        "exclude": st.lists(st.sampled_from(FIELDS), unique=True),
        "min_score": st.sampled_from([-1.0, 0.0, 0.2]),
    },
).filter(lambda asked: asked["mode"] != "lexical" or "min_score" not in asked)


def found(client: Client, asked: dict[str, Any], *, path: str = "/v1/search", **more: Any) -> list[dict[str, Any]]:
    reply = client.http.post(path, json={**asked, "collection": COLLECTION, **more})
    assert reply.status_code == 200, reply.text
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def fill(client: Client) -> None:
    """Store the documents, if an earlier example has not; an ingest of the same documents changes nothing."""
    documents = [
        {
            "id": f"d{number}",
            "text": f"{text} of the river stone"[: 40 + number],
            "metadata": {"n": number, "kind": number % 4},
        }
        for number, text in enumerate(distinct_texts(DOCUMENTS, seed=77))
    ]
    client.ingest_and_wait(documents, COLLECTION)


def test_options_in_combination(client: Client) -> None:
    fill(client)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(asked=options, cut=st.integers(1, DOCUMENTS))
    def holds(asked: dict[str, Any], cut: int) -> None:
        whole = found(client, asked, top_k=DOCUMENTS)
        ids = [hit["id"] for hit in whole]
        assert len(set(ids)) == len(ids)
        # A shorter list is a prefix of a longer one, and pages make the whole list.
        assert found(client, asked, top_k=cut) == whole[:cut]
        assert found(client, asked, top_k=DOCUMENTS, offset=cut) == whole[cut:]
        # An explanation changes no hit.
        explained = found(client, asked, top_k=DOCUMENTS, explain=True)
        assert [{name: part for name, part in hit.items() if name != "explain"} for hit in explained] == whole
        # A batch has the same answers.
        one = {**asked, "collection": COLLECTION, "top_k": DOCUMENTS}
        batch = client.http.post("/v1/search/batch", json={"searches": [one, one]}).json()["replies"]
        assert [reply["results"] for reply in batch] == [whole, whole]
        # One gateway alone finds all that was acknowledged, whatever it is asked.
        assert found(client, {**asked, "consistency": "strong"}, top_k=DOCUMENTS) == whole
        # Parts that are excluded are absent, and change nothing else.
        for hit in whole:
            for name in FIELDS:
                assert (name in hit) == (name not in asked.get("exclude", ()))
            assert ("vector" in hit) == ("include" in asked)
        bare = found(client, {**asked, "exclude": FIELDS, "highlight": False}, top_k=DOCUMENTS)
        assert [(hit["id"], hit["score"]) for hit in bare] == [(hit["id"], hit["score"]) for hit in whole]
        # Filters and groups hold for every hit.
        seen = found(client, {**asked, "exclude": []}, top_k=DOCUMENTS)
        if "filter" in asked:
            matching = client.http.get(
                f"/v1/collections/{COLLECTION}/documents", params={"filter": json.dumps(asked["filter"]), "limit": 100}
            ).json()["documents"]
            assert {hit["id"] for hit in seen} <= {each["id"] for each in matching}
        if "group_by" in asked and asked["group_by"] != "nowhere":
            values = [hit["metadata"][asked["group_by"]] for hit in seen]
            assert len(set(values)) == len(values)

    holds()


def test_options_of_similar_documents_in_combination(client: Client) -> None:
    fill(client)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(asked=options, like=st.integers(0, DOCUMENTS - 1), cut=st.integers(1, DOCUMENTS))
    def holds(asked: dict[str, Any], like: int, cut: int) -> None:
        page = {name: asked[name] for name in asked.keys() - {"query", "mode", "highlight"}}
        page["document_id"] = f"d{like}"

        def similar(**more: Any) -> list[dict[str, Any]]:
            return found(client, page, path="/v1/search/similar", **more)

        whole = similar(top_k=DOCUMENTS)
        ids = [hit["id"] for hit in whole]
        assert f"d{like}" not in ids
        assert len(set(ids)) == len(ids)
        assert similar(top_k=cut) == whole[:cut]
        assert similar(top_k=DOCUMENTS, offset=cut) == whole[cut:]
        explained = similar(top_k=DOCUMENTS, explain=True)
        assert [{name: part for name, part in hit.items() if name != "explain"} for hit in explained] == whole
        bare = similar(top_k=DOCUMENTS, exclude=FIELDS)
        assert [(hit["id"], hit["score"]) for hit in bare] == [(hit["id"], hit["score"]) for hit in whole]
        assert all(name not in hit for hit in bare for name in FIELDS)

    holds()
