"""Threads that run the model, one batch each at a time, and give the outcome to the event loop in one step.

``loop.run_in_executor`` does the same through two futures and their chained callbacks, for each batch; and its threads
take turns. Here the thread that was the last to be done is the next to run: it is awake or nearly so, on a core that is
free, and its part of the caches is warm. Where threads take turns, a sleeping one often wakes on the core of another's
run, and waits there while a core idles.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class WorkerThreads(Generic[Q, A]):
    """Calls ``function``, which must not raise, in one of ``count`` threads; all methods are for the event loop."""

    def __init__(self, function: Callable[[Q], A], count: int) -> None:
        """Start the threads; they are daemons, so that one that is stuck does not keep the process."""
        self._threads = [_Thread(function, f"model-{number}") for number in range(count)]
        self._free = self._threads[::-1]

    def call(self, question: Q, then: Callable[[A], None]) -> None:
        """Have a free thread call the function; ``then`` is called on the event loop with what it returns.

        Raises:
            IndexError: if no thread is free.
        """
        thread = self._free.pop()
        loop = asyncio.get_running_loop()

        def done(answer: A) -> None:
            self._free.append(thread)
            then(answer)

        thread.questions.put((question, done, loop))

    def close(self, *, wait: bool) -> None:
        """End the threads after what they have; ``wait`` for them, which blocks."""
        for thread in self._threads:
            thread.questions.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


class _Thread(threading.Thread, Generic[Q, A]):
    def __init__(self, function: Callable[[Q], A], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._function = function
        self.questions: queue.SimpleQueue[tuple[Q, Callable[[A], None], asyncio.AbstractEventLoop] | None] = (
            queue.SimpleQueue()
        )
        self.start()

    def run(self) -> None:
        while (task := self.questions.get()) is not None:
            question, done, loop = task
            answer = self._function(question)
            try:
                loop.call_soon_threadsafe(done, answer)
            except RuntimeError:  # the loop is closed, and with it everybody who waited
                return
            del task, question, done, answer  # a thread that waits for its next batch must not hold the last
