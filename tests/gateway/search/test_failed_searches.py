"""A failed search frees its memory at once: its error must not keep itself alive."""

import asyncio
import logging
import weakref
from collections.abc import Sequence

import pytest

from tandem_gateway.errors import NotReady, StorageUnavailable
from tandem_gateway.records.search import Hit, Hits
from tandem_gateway.use_cases.batch_search import BatchSearch
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_pipeline import SearchPipeline
from tests.support.freed import assert_gone, failure_of, no_collector
from tests.support.search_fixtures import PipelineFixture, SearchFixture, command


class Mistake(Exception):
    """An unexpected error."""


async def test_a_search_fails_for_want_of_an_embedder():
    fixture = SearchFixture()
    fixture.embedder.unavailable = True
    with no_collector():
        await assert_gone(await failure_of(lambda: fixture.use_case.search(command("q"))))


@pytest.mark.parametrize("error", [StorageUnavailable("no disk"), Mistake()])
@pytest.mark.parametrize("kept", [0, 8])
async def test_a_search_fails_in_the_index(error: Exception, kept: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL, "tandem_gateway.use_cases.waiting_query")  # a kept record keeps its error

    fixture = SearchFixture(kept=kept)
    fixture.index.pinned["default"] = "f" * 32

    async def search() -> object:
        return await fixture.use_case.search(command("q"))

    await search()  # the vector is cached, or not
    failing = FailingIndex(type(error), error.args)
    fixture.use_case._index = fixture.use_case._lookup._index = failing
    with no_collector():
        await assert_gone(await failure_of(search))


class FailingIndex:
    """A ``Searchable`` that raises a new error for each search."""

    def __init__(self, kind: type[Exception], args: tuple[object, ...]) -> None:
        self._kind, self._args = kind, args

    def fingerprint(self, collection: str) -> str | None:
        return "f" * 32

    def search(self, queries: Sequence[object]) -> "asyncio.Future[list[object]]":
        answer: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        answer.set_exception(self._kind(*self._args))
        return answer


class FailingLexical:
    """A ``LexicalIndex`` that raises a new error for each search."""

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        raise NotReady("it is being built")


async def test_a_search_fails_either_way():
    fixture = PipelineFixture()
    fixture.embedder.unavailable = True
    fixture.use_case._lexical = FailingLexical()
    use_case: SearchPipeline = fixture.use_case
    with no_collector():
        await assert_gone(await failure_of(lambda: use_case.answer(command("q"))))


class SecondFails:
    """A search pipeline that answers the first search of a batch and fails the second one afterwards."""

    def __init__(self) -> None:
        self._answered = asyncio.Event()
        self.answers: list[weakref.ref[object]] = []

    def check(self, command: SearchCommand) -> None:
        """Accept every search."""

    async def answer(self, command: SearchCommand, timeout: float | None = None) -> Answer:
        if command.query == "second":
            await self._answered.wait()
            raise NotReady("it is being built")
        hits = Hits([])
        self.answers.append(weakref.ref(hits))
        self._answered.set()
        return Answer(hits, "dense")


async def test_a_batch_fails_and_frees_the_answers_to_its_other_searches():
    pipeline = SecondFails()
    batch = BatchSearch(pipeline, SearchFixture().use_case._embedder)  # type: ignore[arg-type]
    with no_collector():
        failure = await failure_of(lambda: batch.answer([command("first"), command("second")]))
        await assert_gone(failure)
        await assert_gone(pipeline.answers)
    assert len(pipeline.answers) == 1
