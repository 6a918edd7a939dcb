"""A large answer has the same JSON as a small one, a size limit, and a lease on its memory until it is freed."""

import msgspec
import pytest

from tandem_contract.client_api import ReceivedSearchReply
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.clock import now
from tandem_gateway.http.search_reply import write_search_reply
from tandem_gateway.records.search import Hit, Hits
from tandem_gateway.use_cases.search_pipeline import Answer
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


async def test_an_answer_that_is_too_large_as_json_is_refused() -> None:
    given = answer(["\x01" * 100_000] * 4)
    with pytest.raises(InvalidRequest, match="TANDEM_MAX_ANSWER_BYTES") as caught:
        await written(given, most=2_000_000)
    assert (caught.value.param, caught.value.code) == ("top_k", "limit_exceeded")
    assert len(await written(given, most=2_500_000)) > 2_400_000


async def test_an_answer_that_takes_more_memory_than_is_left_is_refused() -> None:
    with pytest.raises(OverBudget):
        await written(answer(["x" * 400_000]), memory=100_000)
