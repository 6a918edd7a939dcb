"""Threads that run the model: which one runs, and how they end."""

import asyncio
import threading

import pytest

from tandem_embedder.batching.worker_threads import WorkerThreads
from tests.embedder.serving.doubles import WAIT_SECONDS


async def answer_of(threads: WorkerThreads[str, str], question: str) -> str:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    threads.call(question, answer.set_result)
    return await answer


def name_of_thread(_: str) -> str:
    return threading.current_thread().name


async def test_an_answer_comes_from_another_thread_to_the_event_loops() -> None:
    threads = WorkerThreads(lambda question: f"{question} in {name_of_thread(question)}", 1)
    here: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    threads.call("asked", lambda answer: here.set_result((answer, name_of_thread(""))))
    assert await here == ("asked in model-0", threading.current_thread().name)
    threads.close(wait=True)


async def test_the_thread_that_was_the_last_to_be_done_runs_next() -> None:
    both = threading.Barrier(2)
    held = threading.Event()

    def function(question: str) -> str:
        if question != "alone":
            both.wait(WAIT_SECONDS)
        if question == "slow":
            assert held.wait(WAIT_SECONDS)
        return name_of_thread(question)

    threads = WorkerThreads(function, 3)
    slow = asyncio.create_task(answer_of(threads, "slow"))
    await asyncio.sleep(0)
    quick = await answer_of(threads, "quick")
    assert [await answer_of(threads, "alone") for _ in range(3)] == [quick] * 3
    held.set()
    last = await slow
    assert last != quick
    assert [await answer_of(threads, "alone") for _ in range(3)] == [last] * 3
    threads.close(wait=True)


async def test_there_is_no_queue() -> None:
    held = threading.Event()
    threads = WorkerThreads(lambda _: str(held.wait(WAIT_SECONDS)), 1)
    first = asyncio.create_task(answer_of(threads, ""))
    await asyncio.sleep(0)
    with pytest.raises(IndexError):
        threads.call("", lambda answer: None)
    held.set()
    assert await first == "True"
    threads.close(wait=True)


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    threads = WorkerThreads(name_of_thread, 3)
    assert len(set(threading.enumerate()) - before) == 3
    threads.close(wait=True)
    assert set(threading.enumerate()) <= before
