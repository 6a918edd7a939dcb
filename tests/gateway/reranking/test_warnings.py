"""What the replies tell of texts that were cut."""

from tandem_gateway.http.compatible.rerank import TRUNCATED, _reply, _warnings
from tandem_gateway.records.reranking import RerankScores
from tandem_gateway.use_cases.reranking import RerankAnswer
from tandem_runtime.memory import MemoryBudget


def answer(truncated: list[int], *, query: bool = False) -> RerankAnswer:
    return RerankAnswer([0], RerankScores([0.5] * 200, "m", truncated, query))


def test_each_text_that_was_cut_has_a_line() -> None:
    assert _warnings(answer([])) == []
    told = _warnings(answer([1, 3], query=True))
    assert [line.partition(":")[0] for line in told] == ["query", "documents[1]", "documents[3]"]


def test_the_lines_are_bounded() -> None:
    told = _warnings(answer(list(range(150))))
    assert len(told) == 101
    assert told[-1] == "and 50 more documents"


def test_the_header_has_their_number() -> None:
    lease = MemoryBudget(1 << 20, "A_SETTING").lease()
    assert dict(_reply([], answer([1, 3]), lease).headers) == {TRUNCATED: b"2"}
    assert _reply([], answer([]), lease).headers == ()
