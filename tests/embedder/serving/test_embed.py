"""The use case: limits, order, deadlines; it never keeps an admitted text after its request."""

import asyncio
import weakref
from typing import Any

import numpy as np
import pytest

from tandem_contract.embed import EmbedRequest, Kind
from tandem_embedder.batching.tokenize_stage import AT_ONCE_CHARS, slices
from tandem_embedder.batching.worker_threads import WorkerThreads
from tandem_embedder.embedded import Embedded, unknown_share
from tandem_embedder.errors import DeadlineExceeded, EmbedderError, InvalidText, LimitExceeded, NotReady, Overloaded
from tandem_embedder.model.prepared_model import Prompts
from tandem_embedder.model.tokenizer import unknown_id
from tandem_embedder.ports import TokenizedText
from tests.embedder.serving.doubles import ids_of, vector_of
from tests.embedder.serving.embedding import embedding
from tests.support.freed import Batch, assert_gone, failure_of, no_collector


async def test_vectors_tokens_and_flags_come_in_the_order_of_the_texts():
    async with embedding() as fixture:
        texts = ["one", "a bb ccc", "x " * 40]
        done = await fixture.embed(EmbedRequest(texts))
        expected = [ids_of(101, 3, 102), ids_of(101, 1, 2, 3, 102), ids_of(101, *[1] * 14, 102)]
        assert np.array_equal(done.vectors, [vector_of(ids) for ids in expected])
        assert done.tokens == [3, 5, 16]
        assert done.truncated == [False, False, True]
        fixture.assert_nothing_kept()


@pytest.mark.parametrize("prompts", [Prompts(), Prompts(query="query: ", document="a long prompt: ")])
@pytest.mark.parametrize("kind", ["query", "document"])
async def test_the_share_of_a_text_that_is_unknown_leaves_prompt_and_special_tokens_out(kind: Kind, prompts: Prompts):
    async with embedding(prompts=prompts) as fixture:
        done = await fixture.embed(EmbedRequest(["plain words", "ein schöner Tag heute", "ข้าวผัด", "\u200b"], kind=kind))
        assert done.unknown == [0.0, 0.25, 1.0, 1.0]


def test_a_text_without_a_token_is_wholly_unknown():
    assert unknown_share(TokenizedText(ids_of(101, 102), truncated=False), overhead=2) == 1.0


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 100}}, 100),
        ({"type": "BPE", "unk_token": None, "vocab": {"a": 0}}, None),
        ({"type": "Unigram", "unk_id": 3, "vocab": [["<s>", 0.0]]}, 3),
        ({"type": "Unigram", "unk_id": None, "vocab": []}, None),
    ],
)
def test_the_unknown_token_is_found_in_each_kind_of_vocabulary(model: dict[str, Any], expected: int | None):
    assert unknown_id(model) == expected


@pytest.mark.parametrize(
    ("texts", "error", "param"),
    [
        ([], InvalidText, "texts"),
        (["a"] * 5, LimitExceeded, "texts"),
        (["a", ""], InvalidText, "texts[1]"),
        (["a", "b", " \t\n\u3000"], InvalidText, "texts[2]"),
        (["a\0b"], InvalidText, "texts[0]"),
        (["a", "x" * 5_001], LimitExceeded, "texts[1]"),
    ],
)
async def test_a_text_that_cannot_be_taken_is_named(texts: list[str], error: type[EmbedderError], param: str):
    async with embedding() as fixture:
        with pytest.raises(error) as refused:
            await fixture.embed(EmbedRequest(texts))
        assert refused.value.param == param
        assert fixture.tokenizer.calls == []
        fixture.assert_nothing_kept()


async def test_a_text_over_the_models_limit_is_refused_if_it_must_not_be_cut():
    async with embedding() as fixture:
        with pytest.raises(LimitExceeded, match="16 tokens") as refused:
            await fixture.embed(EmbedRequest(["short", "x " * 40], truncate=False))
        assert refused.value.param == "texts[1]"
        assert fixture.model.batches == []
        fixture.assert_nothing_kept()


async def test_the_kind_selects_the_prompt():
    async with embedding(prompts=Prompts(query="query: ", document="passage: ")) as fixture:
        await fixture.embed(EmbedRequest(["a"], kind="query"))
        await fixture.embed(EmbedRequest(["a"]))
        assert fixture.tokenizer.calls == [["query: a"], ["passage: a"]]


async def test_the_callers_deadline_ends_the_wait_and_drops_queued_texts():
    async with embedding(held=True) as fixture:
        running = asyncio.create_task(fixture.embed(EmbedRequest(["first"])))
        await fixture.model.wait_called()
        with pytest.raises(DeadlineExceeded):
            await fixture.embed(EmbedRequest(["second", "third"]), timeout=0.01)
        fixture.model.gate.set()
        await running
        assert len(fixture.model.batches) == 1
        fixture.assert_nothing_kept()


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_a_request_that_comes_too_late_is_not_begun(timeout: float):
    async with embedding() as fixture:
        with pytest.raises(DeadlineExceeded):
            await fixture.embed(EmbedRequest(["a"]), timeout=timeout)
        assert fixture.tokenizer.calls == []


async def test_the_callers_time_counts_while_tokenising_as_well():
    async with embedding() as fixture:
        fixture.tokenizer.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await fixture.embed(EmbedRequest(["x" * (AT_ONCE_CHARS + 1)]), timeout=0.01)
        fixture.assert_nothing_kept()


async def test_a_cancelled_request_gives_everything_back():
    async with embedding(held=True) as fixture:
        running = asyncio.create_task(fixture.embed(EmbedRequest(["first"])))
        await fixture.model.wait_called()
        waiting = asyncio.create_task(fixture.embed(EmbedRequest(["second", "third"])))
        await asyncio.sleep(0)
        assert fixture.admission.queued_tokens > 3
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert fixture.recorder.abandoned_texts == 2
        fixture.model.gate.set()
        await running
        fixture.assert_nothing_kept()


async def test_overload_is_refused_and_passes():
    async with embedding(held=True, queued=20) as fixture:
        running = asyncio.create_task(fixture.embed(EmbedRequest(["a b c d e f g h i j k l m n"])))
        await fixture.model.wait_called()
        with pytest.raises(Overloaded) as refused:
            await fixture.embed(EmbedRequest(["some text of more than a few words"]))
        assert refused.value.retry_after_seconds is not None
        fixture.model.gate.set()
        await running
        assert len((await fixture.embed(EmbedRequest(["some text of more than a few words"]))).tokens) == 1


async def test_a_dead_worker_makes_the_service_unready_with_the_reason():
    async with embedding() as fixture:
        fixture.model.errors.append(SystemExit("pulled the plug"))
        with pytest.raises(NotReady, match="pulled the plug"):
            await fixture.embed(EmbedRequest(["a"]))
        with pytest.raises(NotReady, match="pulled the plug"):
            await fixture.embed(EmbedRequest(["a"]))
        assert not fixture.readiness.is_ready
        fixture.assert_nothing_kept()


async def test_a_query_is_tokenised_while_ingest_holds_the_tokenizers_thread():
    async with embedding() as fixture:
        fixture.tokenizer.gate.clear()
        ingest = asyncio.create_task(fixture.embed(EmbedRequest(["x" * (AT_ONCE_CHARS + 1)], priority="bulk")))
        assert await asyncio.to_thread(fixture.tokenizer.called.wait, 20)
        fixture.tokenizer.called.clear()
        query = asyncio.create_task(fixture.embed(EmbedRequest(["y" * (AT_ONCE_CHARS + 1)])))
        assert await asyncio.to_thread(fixture.tokenizer.called.wait, 20)
        fixture.tokenizer.gate.set()
        assert (await query).tokens == (await ingest).tokens == [3]


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (["aa", "bb", "cc"], [["aa", "bb"], ["cc"]]),
        (["aaaaaaaa", "b"], [["aaaaaaaa"], ["b"]]),
        (["a", "bbbbbbbb", "c"], [["a"], ["bbbbbbbb"], ["c"]]),
        ([], []),
    ],
)
def test_slices_keep_the_order_and_the_size(texts: list[str], parts: list[list[str]]):
    assert slices(texts, 4) == parts


@pytest.mark.parametrize("fails", ["the model", "the deadline", "the texts"])
async def test_a_request_that_fails_is_freed_at_once(fails: str):
    async with embedding(held=fails == "the deadline") as fixture:
        if fails == "the model":
            fixture.model.errors.append(ValueError("a mistake"))
        requests: list[weakref.ref[Batch]] = []

        async def call() -> Embedded:
            texts = Batch(["one", "two" if fails != "the texts" else ""])
            requests.append(weakref.ref(texts))
            return await fixture.embed(EmbedRequest(texts), timeout=0.05 if fails == "the deadline" else None)

        with no_collector():
            errors = await failure_of(call)
            fixture.model.gate.set()
            await assert_gone([*requests, *errors])


async def test_an_idle_model_thread_holds_nothing():
    class Rows(list[int]):
        pass

    threads = WorkerThreads(Rows, 1)
    with no_collector():
        rows = Rows([1])
        done = asyncio.Event()
        held = [weakref.ref(rows)]

        def then(answer: Rows) -> None:
            held.append(weakref.ref(answer))
            done.set()

        threads.call(rows, then)
        del rows
        await done.wait()
        await assert_gone(held)
    threads.close(wait=True)
