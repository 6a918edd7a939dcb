"""Decides whether a request may wait: a bound on queued tokens, and an honest time to come back. Pure.

Tokens are what the model has to compute, so they are what is counted; a request of one text and a batch are judged by
the same rule. Before a text is tokenised its tokens are estimated (``estimate_tokens``); afterwards the grant is set
right. Tokenising has a cost of its own, which the model's limit does not cap: the characters that wait for it are
bounded as well.

Bulk may fill only ``BULK_PART`` of the bound, so that a queue full of ingest still admits a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.errors import LimitExceeded, Overloaded

BULK_PART: Final = 0.75
CHARS_PER_TOKEN: Final = 4  # English prose has 4 to 5; code and other scripts have fewer, and are set right afterwards
SPECIAL_TOKENS: Final = 2
_MEMORY: Final = 0.9  # of the drain rate, a batch: about the last ten batches count
_DEFAULT_RATE: Final = 5_000.0  # tokens a second, until the first batch was measured


def estimate_tokens(text: str, max_seq_length: int) -> int:
    """Return how many tokens the model will probably see of ``text``."""
    return min(max_seq_length, len(text) // CHARS_PER_TOKEN + SPECIAL_TOKENS)


class DrainRate:
    """Tokens a second that the model gets through, over the last batches; waiting is not in it.

    Args:
        workers: how many batches run at the same time.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._tokens = 0.0
        self._seconds = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Take a batch into account."""
        self._tokens = self._tokens * _MEMORY + tokens
        self._seconds = self._seconds * _MEMORY + seconds

    @property
    def tokens_per_second(self) -> float:
        """The rate; a cautious guess before the first batch."""
        return self._workers * self._tokens / self._seconds if self._seconds > 0 else _DEFAULT_RATE


@dataclass(slots=True)
class Grant:
    """What one request holds of the bound; closed when the request ends, however it ends."""

    lane: Lane
    tokens: int
    chars: int


class Admission:
    """Counts what waits. Not safe for threads: one event loop owns it.

    Args:
        max_queued_tokens: bound on tokens admitted and not yet computed.
        max_pending_chars: bound on characters admitted and not yet tokenised.
        rate: where the time to come back is taken from.
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
        """Let a request wait.

        Raises:
            LimitExceeded: if it alone is more than the bound, so that waiting would not help.
            Overloaded: if it does not fit now.
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
            # Never "come back at once": a request that finds the queue full by a token would only knock again.
            seconds = max(excess, tokens) / self._rate.tokens_per_second
            raise Overloaded(
                f"the embedder is overloaded: {self.queued_tokens} tokens are queued, "
                f"{bound} may be at priority {lane}; retry in {seconds:.1f} s",
                retry_after_seconds=seconds,
            )
        self._tokens[lane] += tokens
        self._chars += chars
        return Grant(lane, tokens, chars)

    def tokenized(self, grant: Grant, lengths: Sequence[int]) -> None:
        """Set a grant right: the request's texts have these lengths, and none waits to be tokenised."""
        actual = sum(lengths)
        self._tokens[grant.lane] += actual - grant.tokens
        grant.tokens = actual
        self._chars -= grant.chars
        grant.chars = 0

    def release(self, grant: Grant, tokens: int) -> None:
        """Give back the tokens of texts that were computed or dropped."""
        tokens = min(tokens, grant.tokens)
        self._tokens[grant.lane] -= tokens
        grant.tokens -= tokens

    def close(self, grant: Grant) -> None:
        """Give back all that a grant still holds; a second time does nothing."""
        self.release(grant, grant.tokens)
        self._chars -= grant.chars
        grant.chars = 0
