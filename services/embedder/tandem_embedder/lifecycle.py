"""The embedder's lifecycle in one object: from "the model is being loaded" to "drained"."""

import asyncio
import logging
from concurrent.futures import Future

from tandem_contract.embed import EmbedRequest, ReadyReply
from tandem_embedder.batching.admission import Admission, DrainRate
from tandem_embedder.batching.lanes import LANES
from tandem_embedder.batching.scheduler import Scheduler
from tandem_embedder.batching.tokenize_stage import LaneTokenizer
from tandem_embedder.embed_passages import EmbedPassages, HoldRows
from tandem_embedder.embed_texts import EmbedTexts, RequestLimits
from tandem_embedder.embedded import Embedded, facts_of
from tandem_embedder.metrics import Metrics
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.readiness import Readiness
from tandem_embedder.settings import Settings
from tandem_runtime import gc_tuning

log = logging.getLogger(__name__)


class Service:
    """The embedder as the HTTP side sees it. Builds the tokenizer and the scheduler once the model is loaded.

    Args:
        settings: settings of this process.
        manifest: manifest of the model. None if it is unreadable; ``loading`` then fails with the reason.
        loading: future of the model, which completes when the model has passed its self-test.
    """

    def __init__(self, settings: Settings, manifest: Manifest | None, loading: "Future[LoadedModel]") -> None:
        self._settings = settings
        self._manifest = manifest
        self._loading = loading
        self._rate = DrainRate(settings.workers)
        self._admission = Admission(settings.max_queued_tokens, 2 * settings.max_body_bytes, self._rate)
        self._embed: EmbedTexts | None = None
        self._scheduler: Scheduler | None = None
        self._tokenizer: LaneTokenizer | None = None
        self._starting: asyncio.Task[None] | None = None
        self.readiness = Readiness()
        self.drained = True
        """False if ``stop`` had to leave a running thread behind."""
        self.metrics = Metrics()
        self.model = manifest.model if manifest else ""
        self.precision = ""
        self.fingerprint = ""
        """Empty until a model is loaded. The loaded precision may differ from the one in the settings."""
        self.dim = manifest.dim if manifest else 0

    def start(self) -> "asyncio.Task[None]":
        """Start waiting for the model. The returned task ends when the embedder is ready or has failed."""
        self._starting = asyncio.create_task(self._become_ready(), name="become-ready")
        return self._starting

    async def stop(self) -> None:
        """Finish the accepted requests within the shutdown timeout, then stop the threads."""
        self.readiness.draining()
        if self._starting is not None:
            self._starting.cancel()
        if self._tokenizer is not None:
            self._tokenizer.close()
        if self._scheduler is None:
            return
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout):
                await self._scheduler.drain()
        except TimeoutError:
            log.error("what was accepted was not done in time")
        self.drained = await self._scheduler.close()

    async def embed(
        self, request: EmbedRequest, timeout: float | None, hold_rows: HoldRows = lambda rows: None
    ) -> Embedded:
        """Return the vectors of a request; see ``EmbedTexts``."""
        self.readiness.require()
        assert self._embed is not None, "ready, and nothing to serve with"
        return await self._embed(request, timeout, hold_rows)

    def describe(self) -> ReadyReply:
        """Return the description of the served model. Call it only while the embedder is ready."""
        assert self._manifest is not None
        return ReadyReply(
            model=self.model,
            fingerprint=self.fingerprint,
            dim=self.dim,
            max_seq_length=self._manifest.max_seq_length,
            precision=self.precision,
        )

    def exposition(self) -> bytes:
        """Return the metrics as Prometheus text."""
        queued = {lane: self._admission.queued(lane) for lane in LANES}
        return self.metrics.exposition(self.readiness.is_ready, queued)

    async def _become_ready(self) -> None:
        try:
            loaded = await asyncio.wrap_future(self._loading)
        except Exception as error:  # /readyz must report the reason, whatever the error is
            self.readiness.failed(f"the model cannot be served: {error}")
            log.error("not ready", extra={"reason": self.readiness.reason})
            return
        assert self._manifest is not None
        settings = self._settings
        self.precision = loaded.precision
        self.fingerprint = self._manifest.variants[loaded.precision].fingerprint
        self.metrics.describe(model=self.model, fingerprint=self.fingerprint, precision=self.precision)
        self._tokenizer = LaneTokenizer(loaded.tokenizer)
        self._scheduler = Scheduler(
            loaded.model,
            settings.batch_limits(),
            self.metrics,
            self._rate,
            self.readiness.dead,
            settings.workers,
        )
        model = facts_of(self._manifest, loaded.tokenizer)
        self._embed = EmbedTexts(
            model,
            RequestLimits(settings.max_client_batch_size, settings.max_text_chars, settings.embed_timeout),
            self.readiness,
            self._admission,
            self._tokenizer,
            self._scheduler,
            EmbedPassages(model, self._admission, self._tokenizer, loaded.splitter, self._scheduler),
        )
        self._scheduler.start()
        gc_tuning.freeze()
        self.readiness.ready()
        log.info(
            "ready",
            extra={
                "fingerprint": self.fingerprint,
                "precision": self.precision,
                "min_cosine": round(loaded.min_cosine, 6),
                "seconds": loaded.seconds,
            },
        )
