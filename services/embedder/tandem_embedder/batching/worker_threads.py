"""Worker threads that run the model, one batch each at a time, and return the result to the event loop in one step.

``loop.run_in_executor`` needs two futures with chained callbacks for each batch, and its threads take turns. Here the
thread that finished last runs next. It is awake or nearly so, its core is free and its caches are warm. When threads
take turns, a sleeping thread often wakes on the core of a running one and waits there while another core idles.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class WorkerThreads(Generic[Q, A]):
    """Calls ``function``, which must not raise, in one of ``count`` threads. Only the event loop may use it."""

    def __init__(self, function: Callable[[Q], A], count: int) -> None:
        """Start the threads as daemons, so that a stuck thread does not keep the process alive."""
        self._threads = [_Thread(function, f"model-{number}") for number in range(count)]
        self._free = self._threads[::-1]

    def call(self, question: Q, then: Callable[[A], None]) -> None:
        """Call the function in a free thread, and then call ``then`` with its result on the event loop.

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
        """Stop the threads after their current call. ``wait`` blocks until all have stopped."""
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
            except RuntimeError:  # the loop is closed, so no caller waits
                return
            del task, question, done, answer  # an idle thread must not keep its last batch alive
