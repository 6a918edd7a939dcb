"""The use case with ``chunking``: rows in order, waves, bounds, and how a request ends."""

import asyncio
import weakref

import msgspec
import numpy as np
import pytest

from tandem_contract.embed import Chunking, EmbedRequest, Passage
from tandem_embedder.embedded import Embedded
from tandem_embedder.errors import DeadlineExceeded, InvalidChunking, InvalidText, LimitExceeded, NotReady, Overloaded
from tandem_embedder.model.prepared_model import Prompts
from tandem_embedder.ports import Span
from tests.embedder.passages.properties import assert_covers
from tests.embedder.serving.doubles import vector_of
from tests.embedder.serving.embedding import embedding
from tests.support.freed import Batch, assert_gone, failure_of, no_collector

WHOLE = Chunking(overlap_tokens=0)  # the fixture's model reads 16 tokens, 14 of them of the text
LONG = " ".join(["word"] * 1_000)  # 5,000 characters


def words(count: int, word: str = "word") -> str:
    return " ".join([word] * count)


def passages_of(done: Embedded) -> list[Passage]:
    assert not isinstance(done.passages, msgspec.UnsetType)
    return done.passages


@pytest.mark.parametrize("chunking", [None, msgspec.UNSET])
async def test_without_chunking_a_text_is_a_row(chunking: None):
    async with embedding() as fixture:
        done = await fixture.embed(EmbedRequest(["one", words(40)], chunking=chunking))
        assert (done.tokens, done.truncated, done.passages) == ([3, 16], [False, True], msgspec.UNSET)
        assert fixture.splitter.calls == []


async def test_each_passage_is_a_row_in_the_order_of_the_texts():
    async with embedding() as fixture:
        texts = ["  one ", words(30), "aa é"]
        done = await fixture.embed(EmbedRequest(texts, chunking=WHOLE))
        assert passages_of(done) == [
            Passage(0, 2, 5, 3),
            Passage(1, 0, 69, 16),
            Passage(1, 70, 139, 16),
            Passage(1, 140, 149, 4),
            Passage(2, 0, 4, 4),
        ]
        assert done.tokens == [3, 16, 16, 4, 4]
        assert done.truncated == [False] * 5
        assert done.unknown == [0.0, 0.0, 0.0, 0.0, 0.5]
        assert done.texts == 3
        rows = fixture.tokenizer.tokenize([texts[p.text][p.start : p.end] for p in passages_of(done)])
        assert np.array_equal(done.vectors, [vector_of(row.ids) for row in rows])
        fixture.assert_nothing_kept()


async def test_texts_that_fit_are_not_split():
    async with embedding() as fixture:
        done = await fixture.embed(EmbedRequest(["one", words(14)], chunking=WHOLE))
        assert passages_of(done) == [Passage(0, 0, 3, 3), Passage(1, 0, 69, 16)]
        assert fixture.splitter.calls == []


async def test_the_prompt_counts_and_is_in_every_passage():
    async with embedding(prompts=Prompts(document="a prompt: ")) as fixture:
        done = await fixture.embed(EmbedRequest([words(24)], chunking=WHOLE))
        assert [passage.tokens for passage in passages_of(done)] == [16, 16]
        assert fixture.tokenizer.calls[-1] == ["a prompt: " + words(12)] * 2


async def test_a_text_with_more_tokens_than_the_queue_holds_is_embedded_in_waves():
    async with embedding(queued=200) as fixture:
        most = 0
        hold = fixture.admission.hold

        def watch(grant, tokens):
            nonlocal most
            hold(grant, tokens)
            most = max(most, fixture.admission.queued_tokens)

        fixture.admission.hold = watch  # type: ignore[method-assign]
        done = await fixture.embed(EmbedRequest([LONG[:4_999]], priority="bulk", chunking=WHOLE))
        assert sum(done.tokens) > 1_000
        assert_covers(LONG[:4_999], [Span(passage.start, passage.end) for passage in passages_of(done)])
        assert 0 < most <= 150 // 3
        assert fixture.splitter.threads == {"tokenizer-bulk_0"}
        fixture.assert_nothing_kept()


async def test_two_long_requests_share_the_bound():
    async with embedding(queued=200) as fixture:
        requests = [fixture.embed(EmbedRequest([LONG], priority="bulk", chunking=WHOLE)) for _ in range(3)]
        first, *others = await asyncio.gather(*requests)
        assert all(np.array_equal(first.vectors, other.vectors) for other in others)
        fixture.assert_nothing_kept()


async def test_only_the_first_wave_can_be_refused():
    async with embedding(queued=200, held=True) as fixture:
        request = EmbedRequest([LONG], priority="bulk", chunking=WHOLE)
        running = [asyncio.create_task(fixture.embed(request)) for _ in range(3)]
        await fixture.model.wait_called()
        with pytest.raises(Overloaded):
            await fixture.embed(request)
        fixture.model.gate.set()
        for task in running:
            await task
        fixture.assert_nothing_kept()


@pytest.mark.parametrize(
    ("chunking", "param"),
    [
        (Chunking(max_tokens=17), "chunking.max_tokens"),
        (Chunking(overlap_tokens=9), "chunking.overlap_tokens"),
    ],
)
async def test_a_bad_chunking_is_refused_before_anything_is_read(chunking: Chunking, param: str):
    async with embedding() as fixture:
        with pytest.raises(InvalidChunking) as refused:
            await fixture.embed(EmbedRequest(["a"], chunking=chunking))
        assert refused.value.param == param
        assert fixture.tokenizer.calls == []
        fixture.assert_nothing_kept()


async def test_a_blank_text_is_refused_as_without_chunking():
    async with embedding() as fixture:
        with pytest.raises(InvalidText) as refused:
            await fixture.embed(EmbedRequest(["a", " \n"], chunking=WHOLE))
        assert refused.value.param == "texts[1]"


async def test_too_many_passages_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tandem_embedder.embed_passages.MAX_PASSAGES", 20)
    async with embedding() as fixture:
        done = await fixture.embed(EmbedRequest([words(140), words(140)], chunking=WHOLE))
        assert len(done.tokens) == 20
        with pytest.raises(LimitExceeded, match="more than 20 passages") as refused:
            await fixture.embed(EmbedRequest([words(140), words(141)], chunking=WHOLE))
        assert refused.value.param == "texts"
        fixture.assert_nothing_kept()


async def test_memory_is_held_for_the_expected_rows_and_then_for_each_more():
    async with embedding() as fixture:
        held: list[int] = []
        done = await fixture.embed(EmbedRequest([words(700, "a")], chunking=WHOLE), hold_rows=held.append)
        assert held[0] == 1 + 1_399 // 4 // 14
        assert held == sorted(held)
        assert held[-1] == len(done.tokens) == 50


async def test_a_request_without_memory_for_its_rows_gives_everything_back():
    async with embedding() as fixture:

        def refuse(rows: int) -> None:
            if rows > 26:
                raise MemoryError

        with pytest.raises(MemoryError):
            await fixture.embed(EmbedRequest([words(700, "a")], chunking=WHOLE), hold_rows=refuse)
        fixture.assert_nothing_kept()


async def test_the_deadline_ends_a_request_between_waves():
    async with embedding(queued=200, held=True) as fixture:
        request = EmbedRequest([LONG], priority="bulk", chunking=WHOLE)
        with pytest.raises(DeadlineExceeded):
            await fixture.embed(request, timeout=0.2)
        fixture.assert_nothing_kept()
        fixture.model.gate.set()
        assert len((await fixture.embed(EmbedRequest(["a"]))).tokens) == 1
        assert len(fixture.model.batches) <= 3


async def test_a_request_with_long_texts_has_more_time():
    async with embedding(held=True, seconds=0.2) as fixture:
        with pytest.raises(DeadlineExceeded, match=r"within 200 ms$"):
            await fixture.embed(EmbedRequest([LONG]))
        with pytest.raises(DeadlineExceeded, match=r"within 261 ms$"):
            await fixture.embed(EmbedRequest([LONG], chunking=WHOLE))
        with pytest.raises(DeadlineExceeded, match=r"within 100 ms$"):
            await fixture.embed(EmbedRequest([LONG], chunking=WHOLE), timeout=0.1)


async def test_a_cancelled_request_stops_splitting_and_gives_everything_back():
    async with embedding(queued=200, held=True) as fixture:
        running = asyncio.create_task(fixture.embed(EmbedRequest([LONG], priority="bulk", chunking=WHOLE)))
        await fixture.model.wait_called()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        fixture.assert_nothing_kept()
        calls = len(fixture.splitter.calls)
        fixture.model.gate.set()
        await fixture.embed(EmbedRequest([words(300)], priority="bulk"))
        assert len(fixture.splitter.calls) == calls


async def test_a_query_does_not_wait_for_the_splitter():
    async with embedding() as fixture:
        fixture.tokenizer.gate.clear()
        running = asyncio.create_task(fixture.embed(EmbedRequest([LONG], priority="bulk", chunking=WHOLE)))
        assert await asyncio.to_thread(fixture.tokenizer.called.wait, 20)
        fixture.tokenizer.gate.set()
        query = await fixture.embed(EmbedRequest(["a query"], kind="query"))
        assert query.tokens == [4]
        await running


async def test_a_stopped_tokenizer_is_not_ready():
    async with embedding() as fixture:
        fixture.lanes.close()
        with pytest.raises(NotReady):
            await fixture.embed(EmbedRequest([LONG], chunking=WHOLE))
        fixture.assert_nothing_kept()


@pytest.mark.parametrize("fails", ["the model", "the deadline", "the passages"])
async def test_a_request_that_fails_is_freed_at_once(fails: str, monkeypatch: pytest.MonkeyPatch):
    if fails == "the passages":
        monkeypatch.setattr("tandem_embedder.embed_passages.MAX_PASSAGES", 20)
    async with embedding(held=fails == "the deadline") as fixture:
        if fails == "the model":
            fixture.model.errors.append(ValueError("a mistake"))
        requests: list[weakref.ref[Batch]] = []

        async def call() -> Embedded:
            texts = Batch([LONG, "two"])
            requests.append(weakref.ref(texts))
            timeout = 0.2 if fails == "the deadline" else None
            return await fixture.embed(EmbedRequest(texts, chunking=WHOLE), timeout=timeout)

        with no_collector():
            errors = await failure_of(call)
            fixture.model.gate.set()
            await assert_gone([*requests, *errors])
