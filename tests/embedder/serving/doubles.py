"""Fakes of the model and its tokenizer that a test can hold, break and inspect."""

import asyncio
import re
import threading
from collections.abc import Sequence

import numpy as np

from tandem_embedder.batching.lanes import Lane
from tandem_embedder.passages.shape import PassageShape
from tandem_embedder.ports import BatchReport, Ids, Span, TokenizedText, Vectors

DIM = 4
WAIT_SECONDS = 20.0


def ids_of(*numbers: int) -> Ids:
    return np.array(numbers, dtype=np.int32)


def vector_of(ids: Ids) -> Vectors:
    """The vector that ``FakeModel`` returns: it depends on the ids, so a mix-up shows."""
    return np.array([len(ids), int(ids[0]), int(ids[-1]), int(ids.sum())], dtype=np.float32)


class FakeModel:
    """Computes ``vector_of``; waits while ``gate`` is clear; raises the first of ``errors``."""

    def __init__(self, *, held: bool = False) -> None:
        self.gate = threading.Event()
        if not held:
            self.gate.set()
        self.called = threading.Event()
        self.batches: list[list[Ids]] = []
        self.errors: list[BaseException] = []

    def embed(self, rows: Sequence[Ids]) -> Vectors:
        self.batches.append(list(rows))
        self.called.set()
        assert self.gate.wait(WAIT_SECONDS), "nobody opened the gate"
        if self.errors:
            raise self.errors.pop(0)
        return np.stack([vector_of(row) for row in rows])

    async def wait_called(self) -> None:
        """Return when the model has received a batch; then reset the signal."""
        assert await asyncio.to_thread(self.called.wait, WAIT_SECONDS), "the model was not called"
        self.called.clear()


class FakeTokenizer:
    """One id per word, its length, between two marks; truncates at ``limit``; a word that is not ASCII is unknown."""

    def __init__(self, limit: int = 16) -> None:
        self.limit = limit
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.called = threading.Event()

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        self.calls.append(list(texts))
        self.called.set()
        assert self.gate.wait(WAIT_SECONDS), "nobody opened the gate"
        result = []
        for text in texts:
            words = text.split()
            kept = words[: self.limit - 2]
            ids = ids_of(101, *map(len, kept), 102)
            unknown = sum(not word.isascii() for word in kept)
            result.append(TokenizedText(ids, truncated=len(kept) < len(words), unknown=unknown))
        return result


class FakeSplitter:
    """Passages of ``capacity`` words, the last ``overlap`` of which start the next passage."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threads: set[str] = set()

    def split(self, text: str, shape: PassageShape) -> list[Span]:
        self.calls.append(text)
        self.threads.add(threading.current_thread().name)
        words = [found.span() for found in re.finditer(r"\S+", text)]
        spans: list[Span] = []
        for first in range(0, len(words), shape.capacity - shape.overlap):
            if spans and spans[-1].end == words[-1][1]:
                break
            part = words[first : first + shape.capacity]
            spans.append(Span(part[0][0], part[-1][1]))
        return spans


class Recorder:
    """An ``Observer`` that records its calls."""

    def __init__(self) -> None:
        self.reports: list[BatchReport] = []
        self.expired_texts = 0
        self.abandoned_texts = 0

    def batch(self, report: BatchReport) -> None:
        self.reports.append(report)

    def expired(self, lane: Lane, texts: int) -> None:
        self.expired_texts += texts

    def abandoned(self, lane: Lane, texts: int) -> None:
        self.abandoned_texts += texts


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
