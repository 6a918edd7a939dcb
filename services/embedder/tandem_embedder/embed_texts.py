"""The use case: texts in, vectors out, within the limits and the caller's time.

validate → admit → tokenise → queue → wait for the vectors; whatever happens on the way, what was admitted is given
back and what was queued is dropped.
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


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may hold and how long it may take."""

    max_texts: int
    max_text_chars: int
    timeout_seconds: float


class Embedded(msgspec.Struct, frozen=True):
    """The vectors of a request, in the order of its texts, and how its time was spent."""

    vectors: Vectors
    """``(n, dim) float32``, rows of unit length."""
    tokens: list[int]
    truncated: list[bool]
    unknown: list[float]
    """See ``EmbedReply.unknown``."""
    tokenize_seconds: float
    queue_seconds: float


class EmbedTexts:
    """Serves requests; all its collaborators are owned by the event loop's thread.

    Args:
        manifest: of the model that is served.
        limits: of one request.
        readiness: is asked before anything else.
        admission: bounds what waits.
        tokenizer: of the model.
        scheduler: of the model.
        overhead: tokens that each kind of text has beside its own: the prompt's and the special ones.
        clock: monotonic seconds; the scheduler's.
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
            request: what to embed.
            timeout: seconds that the caller waits; the limit's where it is shorter, or the caller does not say.

        Raises:
            EmbedderError: if it cannot be served; see ``errors``.
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
            raise DeadlineExceeded(f"the texts were not embedded within {seconds:g} s") from None
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
            # Its error's traceback leads to this frame: if the frame led back to the error, only the garbage collector
            # would free them, with the request's texts.
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
    """Return what the model wants before a text of this kind; empty if it wants nothing."""
    return manifest.prompts.query if kind == "query" else manifest.prompts.document


def overhead_of(manifest: Manifest, tokenizer: Tokenizer) -> dict[Kind, int]:
    """Return how many tokens each kind of text has beside its own: the prompt's and the special ones."""
    return {kind: len(tokenizer.tokenize([prompt_of(manifest, kind)])[0].ids) for kind in get_args(Kind)}


def unknown_share(text: TokenizedText, overhead: int) -> float:
    """Return the share of a text's own tokens that the vocabulary lacks; 1 for a text without a token of its own."""
    own = len(text.ids) - overhead
    return text.unknown / own if own > 0 else 1.0


def check_texts(texts: Sequence[str], limits: RequestLimits) -> None:
    """Check what can be said of texts before they are tokenised.

    Raises:
        InvalidText: for a text that is empty or blank, or holds U+0000, which tokenizers drop and databases cut at.
        LimitExceeded: for too many texts, or one that is too long.
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
    """Check that no text was cut.

    Raises:
        LimitExceeded: naming the first that was.
    """
    for index, text in enumerate(tokenized):
        if text.truncated:
            raise LimitExceeded(
                f"texts[{index}]: has more than the model's {max_seq_length} tokens, and truncate is false",
                param=f"texts[{index}]",
            )
