"""Threads that run the model, one batch each at a time, and give the outcome to the event loop in one step.

``loop.run_in_executor`` does the same through two futures and their chained callbacks, for each batch.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class ModelThreads(Generic[Q, A]):
    """Calls ``function``, which must not raise, in one of ``count`` threads."""

    def __init__(self, function: Callable[[Q], A], count: int) -> None:
        """Start the threads; they are daemons, so that one that is stuck does not keep the process."""
        self._function = function
        self._queue: queue.SimpleQueue[tuple[Q, asyncio.Future[A], asyncio.AbstractEventLoop] | None] = (
            queue.SimpleQueue()
        )
        self._threads: Sequence[threading.Thread] = [
            threading.Thread(target=self._run, name=f"model-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def call(self, question: Q) -> A:
        """Return what the function returns; if cancelled, its thread goes on to the function's end all the same."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._queue.put((question, answer, loop))
        return await answer

    def close(self, *, wait: bool) -> None:
        """End the threads after what is queued; ``wait`` for them, which blocks."""
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            question, answer, loop = task
            outcome = self._function(question)
            try:
                loop.call_soon_threadsafe(_settle, answer, outcome)
            except RuntimeError:  # the loop is closed, and with it everybody who waited
                return


def _settle(answer: "asyncio.Future[A]", outcome: A) -> None:
    if not answer.done():
        answer.set_result(outcome)
