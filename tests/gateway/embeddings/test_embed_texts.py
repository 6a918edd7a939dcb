"""Texts become vectors: small requests share the calls of queries, large ones are divided, and none mixes models."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tandem_gateway.errors import DeadlineExceeded, EmbedderUnavailable, InvalidRequest, NotFound
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.embedders import Embeddings, ServedModel
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.embed_request import EmbedCommand, EmbeddedTexts, EmbedLimits, ModelRules, cut_to
from tandem_gateway.use_cases.embed_texts import EmbedTexts
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tandem_runtime.memory import FREE_BYTES, MemoryBudget, OverBudget
from tests.support.fakes import DIM, FINGERPRINT, MODEL, FakeEmbedder, turns, vectors_of

SERVED = ServedModel(FINGERPRINT, MODEL, DIM, 256)
OTHER = "0" * 32


class TwoModels(FakeEmbedder):
    """Answers some calls with another model, as embedders that are updated do."""

    def __init__(self, others: set[int], *, steady: bool = True) -> None:
        super().__init__()
        self.others = others
        self.steady = steady
        """Whether the model that a call asks for is still there."""

    async def embed(self, texts: Sequence[str], **options: Any) -> Embeddings:
        number = len(self.calls)
        asked = options["fingerprint"]
        self.fingerprint = asked or FINGERPRINT
        if number in self.others or not self.steady:
            self.fingerprint = OTHER if number % 2 else FINGERPRINT
        return await super().embed(texts, **options)


class Fixture:
    def __init__(
        self,
        *,
        embedder: FakeEmbedder | None = None,
        served: ServedModel | None = SERVED,
        rules: ModelRules | None = None,
        small_texts: int = 64,
        max_queued: int = 100,
        budget: int = 1 << 20,
    ) -> None:
        self.embedder = embedder or FakeEmbedder()
        self.memory = MemoryBudget(budget, "A_SETTING")
        self.lease = self.memory.lease()
        queries = QueryEmbedder(
            self.embedder, coalescing=CoalescingLimits(8, 1), max_queued=max_queued, cached_vectors=10
        )
        self.use_case = EmbedTexts(
            queries,
            self.embedder,
            lambda: served,
            limits=EmbedLimits(
                text_chars=20_000,
                timeout=30.0,
                small_texts=small_texts,
                call_texts=16,
                call_chars=100_000,
                calls=2,
                call_timeout=20.0,
            ),
            rules=rules,
        )

    def start(
        self, texts: Sequence[str], timeout: float | None = None, **options: Any
    ) -> "asyncio.Task[EmbeddedTexts]":
        command = EmbedCommand(texts, "input", **options)
        return asyncio.create_task(self.use_case.embed(command, self.lease, timeout))


def names(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def rows(embedded: EmbeddedTexts) -> Any:
    return np.stack(list(embedded.rows()))


async def test_a_small_request_goes_as_queries_do_and_is_cached():
    fixture = Fixture()
    for _ in range(2):
        found = await fixture.start(["one", "two", "one"])
        np.testing.assert_array_equal(rows(found), vectors_of(["one", "two", "one"]))
        assert (found.model, found.tokens, found.truncated, found.count, found.dim) == (MODEL, 9, 0, 3, DIM)
    assert fixture.embedder.calls == [["one", "two"]]
    assert fixture.embedder.kinds == [("query", "interactive")]


async def test_small_requests_that_arrive_together_share_calls():
    fixture = Fixture()
    fixture.embedder.hold()
    first = fixture.start(["first"])
    await fixture.embedder.wait_calls(1)
    others = [fixture.start([name]) for name in names(8)]
    await turns()
    fixture.embedder.release()
    await asyncio.gather(first, *others)
    assert fixture.embedder.calls == [["first"], names(8)]


async def test_more_small_requests_than_may_queue_wait_for_their_turn():
    fixture = Fixture(small_texts=8, max_queued=8)
    found = await asyncio.gather(*(fixture.start([name]) for name in names(100)))
    np.testing.assert_array_equal(np.concatenate([rows(each) for each in found]), vectors_of(names(100)))


async def test_a_large_request_is_divided_into_bulk_calls_a_few_at_a_time():
    fixture = Fixture()
    fixture.embedder.hold()
    task = fixture.start(names(100))
    await fixture.embedder.wait_calls(2)
    await turns()
    assert len(fixture.embedder.calls) == 2
    fixture.embedder.release()
    found = await task
    np.testing.assert_array_equal(rows(found), vectors_of(names(100)))
    assert [len(call) for call in fixture.embedder.calls] == [16] * 6 + [4]
    assert set(fixture.embedder.kinds) == {("query", "bulk")}
    assert set(fixture.embedder.wanted) == {FINGERPRINT}


async def test_large_requests_take_turns():
    fixture = Fixture()
    fixture.embedder.hold()
    first = fixture.start([f"first {n}" for n in range(160)])
    await fixture.embedder.wait_calls(2)
    second = fixture.start([f"second {n}" for n in range(64)])
    await turns()
    fixture.embedder.release()
    await asyncio.gather(first, second)
    order = [call[0].split()[0] for call in fixture.embedder.calls]
    assert order.index("second") <= 4
    assert len(order) - order[::-1].index("second") < len(order)


async def test_texts_of_the_kind_document_are_never_sent_as_queries():
    fixture = Fixture()
    await fixture.start(["one"], kind="document")
    assert fixture.embedder.kinds == [("document", "bulk")]


@pytest.mark.parametrize("count", [1, 40])
async def test_a_call_that_the_embedder_refuses_for_load_is_repeated(count: int):
    fixture = Fixture()
    fixture.embedder.overloaded = True
    task = fixture.start(names(count))
    await fixture.embedder.wait_calls(3)
    fixture.embedder.overloaded = False
    np.testing.assert_array_equal(rows(await task), vectors_of(names(count)))


@pytest.mark.parametrize("count", [1, 40])
async def test_other_failures_are_not_repeated_and_nothing_stays_taken(count: int):
    fixture = Fixture()
    fixture.embedder.unavailable = True
    with pytest.raises(EmbedderUnavailable):
        await fixture.start(names(count))
    fixture.embedder.unavailable = False
    assert (await fixture.start(names(count))).count == count


@pytest.mark.parametrize("count", [1, 40])
async def test_the_deadline_ends_the_wait(count: int):
    fixture = Fixture()
    fixture.embedder.hold()
    with pytest.raises(DeadlineExceeded, match="within"):
        await fixture.start(names(count), timeout=0.02)
    fixture.embedder.release()
    assert (await fixture.start(names(count))).count == count


async def test_one_that_is_cancelled_gives_its_places_back():
    fixture = Fixture()
    fixture.embedder.hold()
    task = fixture.start(names(100))
    await fixture.embedder.wait_calls(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    fixture.embedder.release()
    assert (await fixture.start(names(40))).count == 40


async def test_vectors_of_two_models_are_never_in_one_reply():
    large = Fixture(embedder=TwoModels({1}))
    np.testing.assert_array_equal(rows(await large.start(names(100))), vectors_of(names(100)))
    assert len(large.embedder.calls) == 8  # one of the seven was repeated
    lost = Fixture(embedder=TwoModels(set(), steady=False))
    with pytest.raises(EmbedderUnavailable, match="different models"):
        await lost.start(names(100))


async def test_a_small_request_that_two_models_answered_is_asked_again_of_one():
    fixture = Fixture(embedder=TwoModels({1}))
    fixture.embedder.hold()
    before = fixture.start(["before"])
    await fixture.embedder.wait_calls(1)
    task = fixture.start(names(10))  # two calls of queries, because a call has at most eight
    await turns()
    fixture.embedder.release()
    await before
    np.testing.assert_array_equal(rows(await task), vectors_of(names(10)))
    assert fixture.embedder.kinds[-1] == ("query", "bulk")


async def test_texts_that_are_cut_are_counted_or_refused():
    fixture = Fixture()
    fixture.embedder.coverage = lambda text: Coverage(truncated=text == "text 1")
    for count in (3, 40):
        assert (await fixture.start(names(count))).truncated == 1
        with pytest.raises(InvalidRequest, match="256 tokens") as refused:
            await fixture.start(names(count), cut=False)
        assert (refused.value.param, refused.value.code) == ("input[1]", "limit_exceeded")
    with pytest.raises(InvalidRequest) as alone:
        await fixture.start(["text 1"], cut=False, single=True)
    assert alone.value.param == "input"


async def test_texts_that_the_embedder_refuses_are_the_clients_fault():
    fixture = Fixture()
    fixture.embedder.rejected = lambda text: text == "text 1"
    for count in (3, 40):
        with pytest.raises(InvalidRequest, match="refuses 'text 1'") as refused:
            await fixture.start(names(count))
        assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("texts", "param", "code"),
    [
        ([], "input", "invalid_field"),
        (["a"] * 2049, "input", "limit_exceeded"),
        (["a", "b" * 20_001], "input[1]", "limit_exceeded"),
        ([" " * 20_001], "input[0]", "limit_exceeded"),
        (["a", "\t"], "input[1]", "invalid_field"),
        (["a\0"], "input[0]", "invalid_field"),
    ],
)
async def test_wrong_texts_are_refused(texts: list[str], param: str, code: str):
    with pytest.raises(InvalidRequest) as refused:
        await Fixture().start(texts)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("served", [SERVED, None])
async def test_dimensions_are_those_of_the_model(served: ServedModel | None):
    fixture = Fixture(served=served)
    assert (await fixture.start(["a"], dimensions=DIM)).dim == DIM
    for wanted in (DIM - 1, 0, -1, DIM + 1):
        with pytest.raises(InvalidRequest, match=f"have {DIM}.*TANDEM_MATRYOSHKA") as refused:
            await fixture.start(["a"], dimensions=wanted)
        assert refused.value.param == "dimensions"


async def test_vectors_of_a_matryoshka_model_are_cut_and_of_unit_length():
    fixture = Fixture(rules=ModelRules(matryoshka=True))
    for count in (2, 40):
        found = rows(await fixture.start(names(count), dimensions=3))
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
        wanted = vectors_of(names(count))[:, :3]
        np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)
    with pytest.raises(InvalidRequest, match=f"from 1 to {DIM}"):
        await fixture.start(["a"], dimensions=DIM + 1)
    zeros = cut_to(np.array([[0.0, 0.0, 1.0]], np.float32), 2)
    np.testing.assert_array_equal(zeros, [[0.0, 0.0]])


async def test_names_of_models():
    fixture = Fixture(rules=ModelRules(("gpt",), strict=True))
    assert fixture.use_case.names() == [MODEL, "gpt"]
    assert fixture.use_case.knows("gpt")
    assert not fixture.use_case.knows("other")
    assert (await fixture.start(["a"], model="gpt")).model == MODEL
    with pytest.raises(NotFound, match="other"):
        await fixture.start(["a"], model="other")
    assert (await Fixture().start(["a"], model="other")).model == MODEL
    unknown = Fixture(served=None, rules=ModelRules(strict=True))
    assert (await unknown.start(["a"], model=MODEL)).model == MODEL
    with pytest.raises(NotFound, match=f"the model is {MODEL}"):
        await unknown.start(["a"], model="other")
    with pytest.raises(EmbedderUnavailable):
        Fixture(served=None).use_case.names()


async def test_the_vectors_of_a_large_request_are_in_the_memory_budget():
    fixture = Fixture()
    fixture.lease.hold(FREE_BYTES)
    found = await fixture.start(names(100))
    assert fixture.memory.held == 100 * DIM * 4
    del found
    tight = Fixture(budget=1000)
    tight.lease.hold(FREE_BYTES)
    with pytest.raises(OverBudget):
        await tight.start(names(100))
