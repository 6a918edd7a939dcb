"""A collection gets vectors of another model in the background, whatever fails, and switches to them."""

import numpy as np
import pytest

from tandem_gateway.errors import Conflict, EmbedderUnavailable, InvalidRequest, NotFound
from tandem_gateway.use_cases import reembedding_worker
from tandem_gateway.use_cases.reembedding import COMPARED, MAX_QUERIES, Overlap
from tandem_gateway.use_cases.reembedding_worker import Faults
from tests.gateway.reembedding.conftest import Renewal, Scenario
from tests.support.fakes import DIM, FINGERPRINT, FakeEmbedder, eventually, turns, vectors_of
from tests.support.reembedding import NEW
from tests.support.stores import damage, document, ingest

NAMES = [f"d{number}" for number in range(30)]


async def faults(renewal: Renewal) -> Faults:
    return renewal.worker.faults((await renewal.state()).space)


async def test_from_the_start_to_the_switch_and_back(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        started = await renewal.use_case.start("default")
        assert (started.status, started.state.passages) == ("filling", 30)
        assert (started.state.space.target.fingerprint, started.state.space.target.dim) == (NEW.fingerprint, NEW.dim)
        await renewal.filled()
        assert (await renewal.use_case.progress("default")).status == "ready"
        assert all(len(call) <= 4 for call in renewal.embedder.calls)
        assert set(renewal.embedder.wanted[1:]) == {NEW.fingerprint}
        assert set(renewal.embedder.kinds) == {("document", "bulk")}
        assert (await renewal.use_case.switch("default")).status == "switched"
        (record,) = await renewal.store.collections()
        assert record.fingerprint == NEW.fingerprint
        assert (await renewal.use_case.switch("default", back=True)).status == "ready"
        assert await renewal.use_case.drop("default")
        assert not await renewal.use_case.drop("default")
        with pytest.raises(NotFound):
            await renewal.use_case.progress("default")
        assert renewal.changes == 5


async def test_documents_that_come_later_get_their_vectors_too(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        await renewal.use_case.start("default")
        await renewal.filled()
        await ingest(renewal.store, [document("d1", "newer"), document("e")], "job2")
        assert not (await renewal.state()).complete
        renewal.worker.notify()
        await renewal.filled()
        assert "newer" in [text for call in renewal.embedder.calls for text in call]


async def test_a_gateway_fills_a_space_while_no_other_one_does(scenario: Scenario, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reembedding_worker, "_LOOK_SECONDS", 0.01)
    async with scenario() as renewal:
        asked: list[int] = []

        async def leads() -> bool:
            asked.append(len(renewal.embedder.calls))
            return len(asked) > 3

        renewal.worker._leads = leads
        await ingest(renewal.store, [document(name) for name in NAMES])
        await renewal.use_case.start("default")
        await renewal.filled()
        before = asked[0]  # the start asks the embedder for its model
        assert asked[:4] == [before] * 4
        assert len(renewal.embedder.calls) > before


async def test_each_replica_gets_as_many_calls_as_allowed(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        renewal.embedder.replicas = 3
        starting = renewal.with_canary(other_model())
        renewal.embedder.hold()
        await starting.start("default")
        await renewal.embedder.wait_calls(6)
        await turns()
        assert [len(call) for call in renewal.embedder.calls] == [4] * 6
        renewal.embedder.release()
        await renewal.filled()


async def test_an_embedder_that_does_not_answer_is_waited_for(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        await renewal.use_case.start("default")
        await renewal.filled()
        renewal.embedder.unavailable = True
        await ingest(renewal.store, [document("e")], "job2")
        renewal.worker.notify()
        waits = await eventually(lambda: faults(renewal), lambda found: found.error is not None)
        assert (waits.failed, waits.error) == (0, "no embedder answers")
        renewal.embedder.unavailable = False
        await renewal.filled()
        assert await eventually(lambda: faults(renewal), lambda found: found == Faults()) == Faults()


async def test_an_embedder_of_the_wrong_model_gets_harmless_texts_only(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document("a")])
        await renewal.use_case.start("default")
        await renewal.filled()
        renewal.embedder.fingerprint = FINGERPRINT
        await ingest(renewal.store, [document("e")], "job2")
        renewal.worker.notify()
        waits = await eventually(lambda: faults(renewal), lambda found: found.error is not None)
        assert FINGERPRINT in str(waits.error)
        count = len(renewal.embedder.calls)
        await renewal.embedder.wait_calls(count + 5)
        assert {text for call in renewal.embedder.calls[count:] for text in call} == {"a harmless text"}
        assert not (await renewal.state()).complete
        renewal.embedder.fingerprint = NEW.fingerprint
        await renewal.filled()


@pytest.mark.parametrize("fault", ["rejected", "broken", "damaged"])
async def test_a_passage_that_cannot_be_embedded_does_not_stop_the_others_and_is_told(scenario: Scenario, fault: str):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        if fault == "damaged":
            damage(renewal.store, "d7")
        else:
            setattr(renewal.embedder, fault, lambda text: text == "text of d7")
        await renewal.use_case.start("default")
        await eventually(renewal.state, lambda state: state.embedded == 29)
        found = await eventually(lambda: faults(renewal), lambda found: found.failed > 0)
        assert found.failed == 1
        assert str(found.error).startswith("passage 8: ")
        progress = await renewal.use_case.progress("default")
        assert (progress.status, progress.faults) == ("filling", found)
        with pytest.raises(Conflict, match="1 of 30"):
            await renewal.use_case.switch("default")
        await renewal.store.delete("default", "d7")
        assert (await renewal.use_case.switch("default")).status == "switched"


async def test_a_passage_that_was_given_up_is_tried_again(scenario: Scenario, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reembedding_worker, "_RETRY_SECONDS", 0.0)
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        renewal.embedder.rejected = lambda text: text == "text of d7"
        await renewal.use_case.start("default")
        await eventually(renewal.state, lambda state: state.embedded == 29)
        renewal.embedder.rejected = lambda text: False
        renewal.worker.notify()
        await renewal.filled()


async def test_an_embedder_that_breaks_on_every_text_makes_no_passage_fail(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        await renewal.use_case.start("default")
        await renewal.filled()
        renewal.embedder.broken = lambda text: True
        await ingest(renewal.store, [document("e")], "job2")
        renewal.worker.notify()
        found = await eventually(lambda: faults(renewal), lambda found: found.error is not None)
        assert found == Faults(0, "the embedder sent nonsense")
        renewal.embedder.broken = lambda text: False
        await renewal.filled()


async def test_what_was_filled_before_a_restart_is_not_embedded_again(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        await renewal.use_case.start("default")
        await renewal.filled()
    async with scenario() as again:
        await ingest(again.store, [document("e")], "job2")
        again.worker.notify()
        await again.filled()
        assert again.embedder.calls == [["text of e"]]


async def test_what_cannot_start(scenario: Scenario):
    async with scenario() as renewal:
        with pytest.raises(InvalidRequest, match="collection"):
            await renewal.use_case.start("no/name")
        with pytest.raises(Conflict, match="TANDEM_CANARY_URL"):
            await renewal.with_canary(None).start("default")
        with pytest.raises(NotFound):
            await renewal.use_case.start("books")
        await ingest(renewal.store, [document("a")])
        with pytest.raises(Conflict, match="makes the same"):
            await renewal.with_canary(FakeEmbedder()).start("default")
        renewal.embedder.unavailable = True
        with pytest.raises(EmbedderUnavailable):
            await renewal.use_case.start("default")
        renewal.embedder.unavailable = False
        await renewal.use_case.start("default")
        with pytest.raises(Conflict, match="already"):
            await renewal.use_case.start("default")


async def test_the_overlap_of_searches_in_both_spaces(scenario: Scenario):
    async with scenario() as renewal:
        await ingest(renewal.store, [document(name) for name in NAMES])
        with pytest.raises(NotFound):
            await renewal.use_case.overlap("default", 5)
        for queries in (0, MAX_QUERIES + 1):
            with pytest.raises(InvalidRequest, match="queries"):
                await renewal.use_case.overlap("default", queries)
        renewal.embedder.hold()
        starting = renewal.with_canary(other_model())
        await starting.start("default")
        with pytest.raises(Conflict, match="30 of 30 passages"):
            await renewal.use_case.overlap("default", 5)
        renewal.embedder.release()
        await renewal.filled()
        found = await renewal.use_case.overlap("default", MAX_QUERIES)
        old, new = nearest_by_comparison(DIM), nearest_by_comparison(NEW.dim)
        expected = np.mean([len(one & other) / COMPARED for one, other in zip(old, new, strict=True)])
        assert 0.3 < expected < 0.9
        assert found == Overlap(30, pytest.approx(expected))
        assert 1 <= (await renewal.use_case.overlap("default", 3)).queries <= 3


def nearest_by_comparison(dim: int) -> list[set[int]]:
    """Return for each document the ten nearest others."""
    vectors = vectors_of([f"text of {name}" for name in NAMES], dim)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return [set(np.argsort(-row)[:COMPARED].tolist()) for row in scores]


def other_model() -> FakeEmbedder:
    made = FakeEmbedder(NEW.dim)
    made.fingerprint = NEW.fingerprint
    return made
