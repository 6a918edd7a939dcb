"""Tokenise large requests off the event loop, in slices, so that no request holds a tokenizer thread for long.

A query has a few dozen characters. Tokenising it takes microseconds, less than a thread handover, so it runs on the
event loop. Larger requests run in a thread of their lane, one slice at a time. A megabyte of ingest takes half a
second; with slices, neither queries nor other ingest requests wait for all of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.errors import NotReady
from tandem_embedder.ports import TokenizedText, Tokenizer

AT_ONCE_CHARS: Final = 1_000  # at most 0.3 ms on the loop
SLICE_CHARS: Final = 50_000  # about 20 ms

T = TypeVar("T")


class LaneTokenizer:
    """A tokenizer with one thread for each lane. The event loop owns it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._executors = {lane: ThreadPoolExecutor(1, thread_name_prefix=f"tokenizer-{lane}") for lane in LANES}

    async def tokenize(self, lane: Lane, texts: Sequence[str]) -> list[TokenizedText]:
        """Return one result for each text, in order. Cancellation takes effect between slices."""
        if sum(map(len, texts)) <= AT_ONCE_CHARS:
            return self._tokenizer.tokenize(texts)
        loop = asyncio.get_running_loop()
        done: list[TokenizedText] = []
        for part in slices(texts, SLICE_CHARS):
            done += await loop.run_in_executor(self._executors[lane], self._tokenizer.tokenize, part)
        return done

    async def run(self, lane: Lane, step: Callable[[Tokenizer], T]) -> T:
        """Return the result of ``step``, which a lane's thread calls with the tokenizer.

        Raises:
            NotReady: if the threads have stopped.
        """
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._executors[lane], step, self._tokenizer)
        except RuntimeError:
            raise NotReady("the embedder is shutting down", retry_after_seconds=1.0) from None
        return await running

    def close(self) -> None:
        """Stop the threads after their current slice; does not wait for them."""
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)


def slices(texts: Sequence[str], chars: int) -> list[list[str]]:
    """Split ``texts``, in order, into parts of at most ``chars`` characters. A longer text gets its own part."""
    parts: list[list[str]] = []
    size = 0
    for text in texts:
        if parts and size + len(text) <= chars:
            parts[-1].append(text)
            size += len(text)
        else:
            parts.append([text])
            size = len(text)
    return parts
