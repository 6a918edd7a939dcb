"""Tokenises off the event loop, in slices, so that no request holds the tokenizer for long.

A query's text is a few dozen characters and takes microseconds, less than the way to a thread and back: it is done at
once. Anything larger goes to a thread of its own lane, a slice at a time: a megabyte of ingest takes half a second,
and neither a query nor the other ingests wait for all of it.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.ports import TokenizedText, Tokenizer

AT_ONCE_CHARS: Final = 1_000  # at most 0.3 ms on the loop
SLICE_CHARS: Final = 50_000  # about 20 ms


class LaneTokenizer:
    """A tokenizer with one thread for each lane; owned by the event loop."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._executors = {lane: ThreadPoolExecutor(1, thread_name_prefix=f"tokenizer-{lane}") for lane in LANES}

    async def tokenize(self, lane: Lane, texts: Sequence[str]) -> list[TokenizedText]:
        """Return one result for each text, in order; may be cancelled between slices."""
        if sum(map(len, texts)) <= AT_ONCE_CHARS:
            return self._tokenizer.tokenize(texts)
        loop = asyncio.get_running_loop()
        done: list[TokenizedText] = []
        for part in slices(texts, SLICE_CHARS):
            done += await loop.run_in_executor(self._executors[lane], self._tokenizer.tokenize, part)
        return done

    def close(self) -> None:
        """Let the threads end when their slice is done."""
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)


def slices(texts: Sequence[str], chars: int) -> list[list[str]]:
    """Return ``texts`` in order, in parts of at most ``chars`` characters; a longer text is a part of its own."""
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
