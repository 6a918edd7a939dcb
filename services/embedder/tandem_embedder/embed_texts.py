"""The use case: turn texts into vectors, within the limits and the caller's deadline.

Steps: validate → admit → tokenise → queue → wait for the vectors. However a request ends, its admission is released
and its queued texts are dropped.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import msgspec

from tandem_contract.embed import EmbedRequest, Kind
from tandem_embedder.batching.admission import Admission, Grant, estimate_tokens
from tandem_embedder.batching.scheduler import Scheduler
from tandem_embedder.batching.tokenize_stage import LaneTokenizer
from tandem_embedder.errors import DeadlineExceeded, InvalidText, LimitExceeded
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.ports import TokenizedText, Tokenizer, Vectors
from tandem_embedder.readiness import Readiness
from tandem_runtime.durations import duration


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on the size and the duration of one request."""

    max_texts: int
    max_text_chars: int
    timeout_seconds: float


class Embedded(msgspec.Struct, frozen=True):
    """Vectors of a request, in the order of its texts, and the time of each stage."""

    vectors: Vectors
    """``(n, dim) float32``; each row has unit length."""
    tokens: list[int]
    truncated: list[bool]
    unknown: list[float]
    """See ``EmbedReply.unknown``."""
    tokenize_seconds: float
    queue_seconds: float


class EmbedTexts:
    """Embeds the texts of requests. The event loop's thread owns this object and its collaborators.

    Args:
        manifest: manifest of the served model.
        limits: limits of one request.
        readiness: checked before anything else.
        admission: bounds the queued work.
        tokenizer: tokenizer of the model.
        scheduler: scheduler of the model.
        overhead: for each kind of text, the number of prompt and special tokens that the embedder adds.
        clock: monotonic clock in seconds; must be the scheduler's.
    """

    def __init__(
        self,
        manifest: Manifest,
        limits: RequestLimits,
        readiness: Readiness,
        admission: Admission,
        tokenizer: LaneTokenizer,
        scheduler: Scheduler,
        *,
        overhead: Mapping[Kind, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manifest = manifest
        self._limits = limits
        self._readiness = readiness
        self._admission = admission
        self._tokenizer = tokenizer
        self._overhead = overhead
        self._scheduler = scheduler
        self._clock = clock

    async def __call__(self, request: EmbedRequest, timeout: float | None = None) -> Embedded:
        """Return the vectors of the request's texts.

        Args:
            request: the texts to embed.
            timeout: the caller's timeout in seconds; None for the limit's. The shorter of the two applies.

        Raises:
            EmbedderError: if the request cannot be served; see ``errors``.
        """
        self._readiness.require()
        check_texts(request.texts, self._limits)
        seconds = min(self._limits.timeout_seconds, timeout if timeout is not None else self._limits.timeout_seconds)
        if seconds <= 0:
            raise DeadlineExceeded("the request's time was up when it came")
        deadline = self._clock() + seconds
        longest = self._manifest.max_seq_length
        grant = self._admission.admit(
            request.priority,
            tokens=sum(estimate_tokens(text, longest) for text in request.texts),
            chars=sum(map(len, request.texts)),
        )
        try:
            async with asyncio.timeout(seconds):
                return await self._embed(request, grant, deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"the texts were not embedded within {duration(seconds)}") from None
        finally:
            self._admission.close(grant)

    async def _embed(self, request: EmbedRequest, grant: Grant, deadline: float) -> Embedded:
        started = self._clock()
        tokenized = await self._tokenizer.tokenize(request.priority, self._prompted(request))
        tokenize_seconds = self._clock() - started
        if not request.truncate:
            check_lengths(tokenized, self._manifest.max_seq_length)
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
            unknown=[unknown_share(text, self._overhead[request.kind]) for text in tokenized],
            tokenize_seconds=tokenize_seconds,
            queue_seconds=queue_seconds,
        )

    def _prompted(self, request: EmbedRequest) -> list[str]:
        prompt = prompt_of(self._manifest, request.kind)
        return [prompt + text for text in request.texts] if prompt else request.texts


def prompt_of(manifest: Manifest, kind: Kind) -> str:
    """Return the model's prompt for a text of this kind; empty if the model has none."""
    return manifest.prompts.query if kind == "query" else manifest.prompts.document


def overhead_of(manifest: Manifest, tokenizer: Tokenizer) -> dict[Kind, int]:
    """Return, for each kind of text, the number of prompt and special tokens that the embedder adds."""
    return {kind: len(tokenizer.tokenize([prompt_of(manifest, kind)])[0].ids) for kind in get_args(Kind)}


def unknown_share(text: TokenizedText, overhead: int) -> float:
    """Return the share of unknown tokens among a text's own tokens; 1 if the text has no token of its own."""
    own = len(text.ids) - overhead
    return text.unknown / own if own > 0 else 1.0


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
