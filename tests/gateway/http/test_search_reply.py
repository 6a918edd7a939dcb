"""A large answer has the same JSON as a small one, a size limit, and a lease on its memory until it is freed."""

import msgspec
import pytest
from msgspec.structs import replace

from tandem_contract.client_api import ReceivedSearchReply
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.clock import now
from tandem_gateway.http.search_reply import write_search_reply
from tandem_gateway.records.explanation import Explanation, HitExplanation, Place, Stages
from tandem_gateway.records.search import Hit, HitPassage, Hits
from tandem_gateway.use_cases.result_pages import Answer
from tandem_runtime.memory import MemoryBudget, OverBudget

MANY = 1 << 40


def answer(texts: list[str]) -> Answer:
    hits = [Hit(f"d{n}", 1 - n / 100, text, '{"n":1.50}') for n, text in enumerate(texts)]
    return Answer(Hits(hits), "lexical", degraded=True)


async def written(given: Answer, most: int = MANY, memory: int = MANY) -> bytes:
    budget = MemoryBudget(memory, "TANDEM_SOMETHING")
    reply = await write_search_reply(given, now(), most, budget)
    assert reply.status == 200
    assert (budget.held > 0) == (len(reply.body) > 300_000)
    body = reply.body
    del reply
    assert budget.held == 0
    return body


@pytest.mark.parametrize("size", [10, 300_000])
async def test_an_answer_is_the_same_json_however_large_it_is(size: int) -> None:
    body = await written(answer(['"\x01\u00e9' + "x" * size, "second"]))
    read = msgspec.json.decode(body, type=ReceivedSearchReply)
    assert [(hit.id, hit.score, len(hit.text), hit.metadata) for hit in read.results] == [
        ("d0", 1.0, size + 3, {"n": 1.5}),
        ("d1", 0.99, 6, {"n": 1.5}),
    ]
    assert (read.mode, read.degraded) == ("lexical", True)
    assert b'"metadata":{"n":1.50}' in body


@pytest.mark.parametrize("count", [1, 80_000])
async def test_an_answer_has_the_parts_of_a_hit_that_were_asked_for(count: int) -> None:
    hit = Hit("d", 0.5, "a text", "{}", 0.5, passage=HitPassage(0, 2, 6), best=7, vector=b"\x00\x00\x80\x3f" * count)
    waits = Hit("e", 0.25, "waits", "{}", lexical=1.5, passage=HitPassage(0, 0, 5), best=8)
    asked = replace(answer([]), hits=Hits([hit, waits]), fields=frozenset({"passage", "vector"}))
    read = msgspec.json.decode(await written(asked))
    assert read["results"] == [
        {
            "id": "d",
            "score": 0.5,
            "scores": {"dense": 0.5, "lexical": None},
            "passage": {"text": "text", "start": 2, "end": 6, "index": 0},
            "vector": [1.0] * count,
        },
        {
            "id": "e",
            "score": 0.25,
            "scores": {"dense": None, "lexical": 1.5},
            "passage": {"text": "waits", "start": 0, "end": 5, "index": 0},
            "vector": None,
        },
    ]
    nothing = await written(replace(asked, fields=frozenset()))
    assert msgspec.json.decode(nothing)["results"][0] == {
        "id": "d",
        "score": 0.5,
        "scores": {"dense": 0.5, "lexical": None},
    }


@pytest.mark.parametrize("size", [10, 300_000])
async def test_an_explained_answer_tells_stages_and_places(size: int) -> None:
    places = [HitExplanation(Place(1, 0.75, 0.4), None), HitExplanation(Place(2, 0.5, 0.1), Place(1, 7.5, 0.6))]
    stages = Stages({"queue": 0.0001234, "embed": 0.25}, 2)
    asked = replace(answer(["x" * size, "y"]), explanation=Explanation(stages, 2, 1, None, places))
    read = msgspec.json.decode(await written(asked))
    assert [hit["explain"] for hit in read["results"]] == [
        {"dense": {"rank": 1, "score": 0.75, "part": 0.4}, "lexical": None},
        {"dense": {"rank": 2, "score": 0.5, "part": 0.1}, "lexical": {"rank": 1, "score": 7.5, "part": 0.6}},
    ]
    assert read["explain"] == {
        "stages_ms": {"filter": None, "queue": 0.123, "embed": 250.0, "index": None, "words": None, "fetch": None},
        "candidates": {"filter": None, "dense": 2, "lexical": 1},
        "attempts": 2,
    }


async def test_an_answer_that_is_too_large_as_json_is_refused() -> None:
    given = answer(["\x01" * 100_000] * 4)
    with pytest.raises(InvalidRequest, match="TANDEM_MAX_ANSWER_BYTES") as caught:
        await written(given, most=2_000_000)
    assert (caught.value.param, caught.value.code) == ("top_k", "limit_exceeded")
    assert len(await written(given, most=2_500_000)) > 2_400_000


async def test_an_answer_that_takes_more_memory_than_is_left_is_refused() -> None:
    with pytest.raises(OverBudget):
        await written(answer(["x" * 400_000]), memory=100_000)
