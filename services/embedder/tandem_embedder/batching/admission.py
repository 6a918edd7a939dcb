"""Admission control: bound the queued tokens, and give rejected callers a measured retry time. Does no I/O.

The bound counts tokens, because tokens are the model's work. The same rule applies to a single text and to a batch.
Before tokenisation the token count is an estimate (``estimate_tokens``); afterwards ``tokenized`` corrects the grant.
The tokenizer reads a whole text before truncating it, so the model's limit does not cap its work. A second bound
therefore limits the characters that wait for tokenisation.

Bulk may fill only ``BULK_PART`` of the bound, so that a queue full of ingest still admits a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.errors import LimitExceeded, Overloaded

BULK_PART: Final = 0.75
CHARS_PER_TOKEN: Final = 4  # English prose has 4 to 5; code and other scripts have fewer, corrected after tokenisation
SPECIAL_TOKENS: Final = 2
WAVE_TOKENS: Final = 8_192  # a second or two of the model's work
WAVES_IN_BOUND: Final = 3  # so many large requests fit in a lane's bound
_MEMORY: Final = 0.9  # decay of the drain rate per batch: roughly the last ten batches count
_DEFAULT_RATE: Final = 5_000.0  # tokens per second, until the first batch is measured


def estimate_tokens(text: str, max_seq_length: int) -> int:
    """Return an estimate of the tokens that the model will compute for ``text``."""
    return min(max_seq_length, len(text) // CHARS_PER_TOKEN + SPECIAL_TOKENS)


def wave_tokens(bound: int) -> int:
    """Return how many tokens of a request with ``chunking`` may be in flight, for the bound of its lane."""
    return min(WAVE_TOKENS, bound // WAVES_IN_BOUND)


class DrainRate:
    """Throughput of the model in tokens per second, over the last batches. Excludes queue time.

    Args:
        workers: number of batches that run at the same time.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._tokens = 0.0
        self._seconds = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Add a batch: its tokens without padding, and its inference time."""
        self._tokens = self._tokens * _MEMORY + tokens
        self._seconds = self._seconds * _MEMORY + seconds

    @property
    def tokens_per_second(self) -> float:
        """The measured rate; a conservative default before the first batch."""
        return self._workers * self._tokens / self._seconds if self._seconds > 0 else _DEFAULT_RATE


@dataclass(slots=True)
class Grant:
    """One request's share of the bounds. Close it when the request ends, however it ends."""

    lane: Lane
    tokens: int
    chars: int


class Admission:
    """Counts the queued work. Not thread-safe: one event loop owns it.

    Args:
        max_queued_tokens: bound on tokens admitted and not yet computed.
        max_pending_chars: bound on characters admitted and not yet tokenised.
        rate: drain rate, from which the retry time is computed.
    """

    def __init__(self, max_queued_tokens: int, max_pending_chars: int, rate: DrainRate) -> None:
        self._bounds: dict[Lane, int] = {
            "interactive": max_queued_tokens,
            "bulk": int(max_queued_tokens * BULK_PART),
        }
        self._max_pending_chars = max_pending_chars
        self._rate = rate
        self._tokens: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._chars = 0

    @property
    def queued_tokens(self) -> int:
        """Tokens admitted and not yet computed, both lanes."""
        return sum(self._tokens.values())

    def queued(self, lane: Lane) -> int:
        """Return the tokens of one lane that are admitted and not yet computed."""
        return self._tokens[lane]

    @property
    def pending_chars(self) -> int:
        """Characters admitted and not yet tokenised."""
        return self._chars

    def admit(self, lane: Lane, tokens: int, chars: int) -> Grant:
        """Admit a request to the queue.

        Raises:
            LimitExceeded: if the request alone exceeds a bound, so that waiting would not help.
            Overloaded: if the request does not fit now.
        """
        bound = self._bounds[lane]
        if tokens > bound or chars > self._max_pending_chars:
            raise LimitExceeded(
                f"texts: about {tokens} tokens and {chars} characters are more than this embedder queues at once "
                f"({bound} tokens at priority {lane}, {self._max_pending_chars} characters); send fewer texts",
                param="texts",
            )
        excess = self.queued_tokens + tokens - bound
        if excess > 0 or self._chars + chars > self._max_pending_chars:
            # At least the time for the request's own tokens: if the queue is over by one token, a retry time near
            # zero would only provoke another rejection.
            seconds = max(excess, tokens) / self._rate.tokens_per_second
            raise Overloaded(
                f"the embedder is overloaded: {self.queued_tokens} tokens are queued, "
                f"{bound} may be at priority {lane}; retry in {seconds:.1f} s",
                retry_after_seconds=seconds,
            )
        self._tokens[lane] += tokens
        self._chars += chars
        return Grant(lane, tokens, chars)

    def bound(self, lane: Lane) -> int:
        """Return the maximum number of queued tokens with which a request of this lane is admitted."""
        return self._bounds[lane]

    def tokenized(self, grant: Grant, lengths: Sequence[int]) -> None:
        """Replace the estimate by the real token counts, and release the characters."""
        actual = sum(lengths)
        self._tokens[grant.lane] += actual - grant.tokens
        grant.tokens = actual
        self._chars -= grant.chars
        grant.chars = 0

    def release(self, grant: Grant, tokens: int) -> None:
        """Release the tokens of texts that the model computed or the scheduler dropped."""
        tokens = min(tokens, grant.tokens)
        self._tokens[grant.lane] -= tokens
        grant.tokens -= tokens

    def read(self, grant: Grant, chars: int) -> None:
        """Release characters that were tokenised."""
        chars = min(chars, grant.chars)
        self._chars -= chars
        grant.chars -= chars

    def hold(self, grant: Grant, tokens: int) -> None:
        """Set the tokens that a grant holds, more or fewer than before."""
        self._tokens[grant.lane] += tokens - grant.tokens
        grant.tokens = tokens

    def close(self, grant: Grant) -> None:
        """Release everything that the grant still holds. Idempotent."""
        self.release(grant, grant.tokens)
        self._chars -= grant.chars
        grant.chars = 0
