"""The use case with fakes of the model, its tokenizer and the splitter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from tandem_embedder.batching.admission import Admission, DrainRate
from tandem_embedder.batching.batch_queue import BatchLimits
from tandem_embedder.batching.scheduler import Scheduler
from tandem_embedder.batching.tokenize_stage import LaneTokenizer
from tandem_embedder.embed_passages import EmbedPassages
from tandem_embedder.embed_texts import EmbedTexts, RequestLimits
from tandem_embedder.embedded import facts_of
from tandem_embedder.model.prepared_model import Prompts
from tandem_embedder.readiness import Readiness
from tests.embedder.serving.doubles import FakeModel, FakeSplitter, FakeTokenizer, Recorder
from tests.embedder.serving.manifests import MANIFEST


@dataclass
class EmbedFixture:
    """The use case and its collaborators."""

    embed: EmbedTexts
    model: FakeModel
    tokenizer: FakeTokenizer
    splitter: FakeSplitter
    admission: Admission
    readiness: Readiness
    recorder: Recorder
    lanes: LaneTokenizer

    def assert_nothing_kept(self) -> None:
        assert (self.admission.queued_tokens, self.admission.pending_chars) == (0, 0)


@asynccontextmanager
async def embedding(
    *, held: bool = False, queued: int = 1000, prompts: Prompts | None = None, seconds: float = 30.0
) -> AsyncIterator[EmbedFixture]:
    model, tokenizer, recorder, readiness = FakeModel(held=held), FakeTokenizer(), Recorder(), Readiness()
    readiness.ready()
    admission = Admission(queued, 20_000, DrainRate())
    scheduler = Scheduler(model, BatchLimits(), recorder, DrainRate(), readiness.dead)
    scheduler.start()
    lanes = LaneTokenizer(tokenizer)
    manifest = msgspec.structs.replace(MANIFEST, max_seq_length=16, prompts=prompts or Prompts())
    limits = RequestLimits(max_texts=4, max_text_chars=5_000, timeout_seconds=seconds)
    splitter = FakeSplitter()
    facts = facts_of(manifest, FakeTokenizer())
    passages = EmbedPassages(facts, admission, lanes, splitter, scheduler)
    try:
        yield EmbedFixture(
            EmbedTexts(facts, limits, readiness, admission, lanes, scheduler, passages),
            model,
            tokenizer,
            splitter,
            admission,
            readiness,
            recorder,
            lanes,
        )
    finally:
        model.gate.set()
        tokenizer.gate.set()
        await scheduler.close()
        lanes.close()
