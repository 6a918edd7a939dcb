"""The use case: turn texts into vectors, within the limits and the caller's deadline.

Steps: validate → admit → tokenise → queue → wait for the vectors. With ``chunking``, ``embed_passages`` takes the steps
after the admission. However a request ends, its admission is released and its queued texts are dropped.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tandem_contract.embed import Chunking, EmbedRequest, split_seconds
from tandem_embedder.batching.admission import Admission, Grant, estimate_tokens
from tandem_embedder.batching.scheduler import Scheduler
from tandem_embedder.batching.tokenize_stage import LaneTokenizer
from tandem_embedder.embed_passages import EmbedPassages, HoldRows
from tandem_embedder.embedded import Embedded, ModelFacts, unknown_share
from tandem_embedder.errors import DeadlineExceeded, InvalidText, LimitExceeded
from tandem_embedder.ports import TokenizedText
from tandem_embedder.readiness import Readiness
from tandem_runtime import trace
from tandem_runtime.durations import duration


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on the size and the duration of one request."""

    max_texts: int
    max_text_chars: int
    timeout_seconds: float


class EmbedTexts:
    """Embeds the texts of requests. The event loop's thread owns this object and its collaborators.

    Args:
        model: facts of the served model.
        limits: limits of one request.
        readiness: checked before anything else.
        admission: bounds the queued work.
        tokenizer: tokenizer of the model.
        scheduler: scheduler of the model.
        passages: serves the requests with ``chunking``.
        clock: monotonic clock in seconds; must be the scheduler's.
    """

    def __init__(
        self,
        model: ModelFacts,
        limits: RequestLimits,
        readiness: Readiness,
        admission: Admission,
        tokenizer: LaneTokenizer,
        scheduler: Scheduler,
        passages: EmbedPassages,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._limits = limits
        self._readiness = readiness
        self._admission = admission
        self._tokenizer = tokenizer
        self._scheduler = scheduler
        self._passages = passages
        self._clock = clock

    async def __call__(
        self, request: EmbedRequest, timeout: float | None = None, hold_rows: HoldRows = lambda rows: None
    ) -> Embedded:
        """Return the vectors of the request's texts or, with ``chunking``, of their passages.

        Args:
            request: the texts to embed.
            timeout: the caller's timeout in seconds; None for the limit's. The shorter of the two applies. With
                ``chunking``, the limit grows with the texts; see ``split_seconds``.
            hold_rows: holds memory for the rows of passages; see ``EmbedPassages``.

        Raises:
            EmbedderError: if the request cannot be served; see ``errors``.
        """
        self._readiness.require()
        check_texts(request.texts, self._limits)
        chunking = request.chunking
        chars = sum(map(len, request.texts))
        seconds = self._limits.timeout_seconds
        if isinstance(chunking, Chunking):
            seconds = split_seconds(seconds, chars)
        seconds = min(seconds, timeout if timeout is not None else seconds)
        if seconds <= 0:
            raise DeadlineExceeded("the request's time was up when it came")
        deadline = self._clock() + seconds
        longest = self._model.max_seq_length
        work = self._passages.prepare(request, chunking) if isinstance(chunking, Chunking) else None
        grant = self._admission.admit(
            request.priority,
            tokens=sum(estimate_tokens(text, longest) for text in request.texts) if work is None else work.tokens,
            chars=chars,
        )
        trace.admitted()
        try:
            async with asyncio.timeout(seconds):
                if work is not None:
                    return await self._passages(work, grant, deadline, hold_rows)
                return await self._embed(request, grant, deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"the texts were not embedded within {duration(seconds)}") from None
        finally:
            self._admission.close(grant)

    async def _embed(self, request: EmbedRequest, grant: Grant, deadline: float) -> Embedded:
        started = self._clock()
        tokenized = await self._tokenizer.tokenize(request.priority, self._prompted(request))
        tokenize_seconds = self._clock() - started
        trace.record("tokenize", started, started + tokenize_seconds)
        if not request.truncate:
            check_lengths(tokenized, self._model.max_seq_length)
        tokens = [len(text.ids) for text in tokenized]
        self._admission.tokenized(grant, tokens)
        ticket = self._scheduler.submit(
            request.priority,
            [text.ids for text in tokenized],
            deadline,
            partial(self._admission.release, grant),
        )
        try:
            vectors = await ticket.future
            queue_seconds = ticket.queue_seconds
        finally:
            self._scheduler.abandon(ticket)
            # The error's traceback refers to this frame. If the frame referred to the error through the ticket, only
            # the garbage collector would free both, with the request's texts.
            del ticket
        return Embedded(
            vectors=vectors,
            tokens=tokens,
            truncated=[text.truncated for text in tokenized],
            unknown=[unknown_share(text, self._model.overhead[request.kind]) for text in tokenized],
            tokenize_seconds=tokenize_seconds,
            queue_seconds=queue_seconds,
        )

    def _prompted(self, request: EmbedRequest) -> list[str]:
        prompt = self._model.prompts[request.kind]
        return [prompt + text for text in request.texts] if prompt else request.texts


def check_texts(texts: Sequence[str], limits: RequestLimits) -> None:
    """Check the texts before tokenising them.

    Raises:
        InvalidText: if there is no text, or one is empty, blank or contains U+0000. Tokenizers drop that character and
            databases truncate at it.
        LimitExceeded: if there are too many texts, or one is too long.
    """
    if not texts:
        raise InvalidText("texts: at least one text was expected", param="texts")
    if len(texts) > limits.max_texts:
        raise LimitExceeded(
            f"texts: {len(texts)} texts were sent, at most {limits.max_texts} are taken in one request", param="texts"
        )
    for index, text in enumerate(texts):
        param = f"texts[{index}]"
        if len(text) > limits.max_text_chars:
            raise LimitExceeded(
                f"{param}: has {len(text)} characters, at most {limits.max_text_chars} are taken", param=param
            )
        if not text or text.isspace():
            raise InvalidText(f"{param}: is empty or only white space; there is nothing to embed", param=param)
        if "\0" in text:
            raise InvalidText(f"{param}: holds the character U+0000, which is not allowed in a text", param=param)


def check_lengths(tokenized: Sequence[TokenizedText], max_seq_length: int) -> None:
    """Check that no text was truncated.

    Raises:
        LimitExceeded: if one was; the message names the first.
    """
    for index, text in enumerate(tokenized):
        if text.truncated:
            raise LimitExceeded(
                f"texts[{index}]: has more than the model's {max_seq_length} tokens, and truncate is false",
                param=f"texts[{index}]",
            )
