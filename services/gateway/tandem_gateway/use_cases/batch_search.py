"""Several searches in one request. They begin together, so that their queries share calls to the embedder."""

import asyncio
from collections.abc import Sequence
from typing import Final

from tandem_gateway.errors import InvalidRequest, NotFound
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_pipeline import SearchPipeline

MAX_SEARCHES: Final = 64
"""Maximum number of searches in one request."""


class BatchSearch:
    """Answers several searches at once."""

    def __init__(self, pipeline: SearchPipeline, embedder: QueryEmbedder) -> None:
        """Make the use case.

        Args:
            pipeline: answers the single searches.
            embedder: the one that the pipeline uses.
        """
        self._pipeline = pipeline
        self._embedder = embedder

    async def answer(self, commands: Sequence[SearchCommand], timeout: float | None = None) -> list[Answer]:
        """Return the answer to each search, in order. If one fails, none is answered.

        Args:
            commands: at least one search; this method validates them.
            timeout: see ``SearchPipeline.answer``.

        Raises:
            InvalidRequest: there are no searches or too many, or one is not valid; the error names it.
            NotFound: a collection does not exist; the error names the search.
            GatewayError: as ``SearchPipeline.answer``, of the first search in order that failed.
        """
        check_searches(len(commands))
        for place, command in enumerate(commands):
            try:
                self._pipeline.check(command)
            except InvalidRequest as error:
                raise of_search(error, place) from None
        searches = [
            asyncio.create_task(self._answer_one(place, command, timeout), name="search of a batch")
            for place, command in enumerate(commands)
        ]
        try:
            with self._embedder.together():
                await asyncio.sleep(0)  # each search runs up to its wait for the embedder
            await asyncio.wait(searches, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for search in searches:
                search.cancel()
            await asyncio.gather(*searches, return_exceptions=True)
        failures = [search.exception() for search in searches if not search.cancelled()]
        failure = next((each for each in failures if each is not None), None)
        if failure is None:
            return [search.result() for search in searches]
        try:
            raise failure
        finally:
            # Breaks the reference cycle: error, traceback, this frame, error. Otherwise only the garbage collector
            # would free the answers to the other searches, and their part of the memory budget.
            del searches, search, failures, failure

    async def _answer_one(self, place: int, command: SearchCommand, timeout: float | None) -> Answer:
        try:
            return await self._pipeline.answer(command, timeout)
        except (InvalidRequest, NotFound) as error:
            raise of_search(error, place) from None


def check_searches(count: int) -> None:
    """Check the number of searches in one request.

    Raises:
        InvalidRequest: there are none, or more than ``MAX_SEARCHES``.
    """
    if not 1 <= count <= MAX_SEARCHES:
        raise InvalidRequest(
            f"searches: 1 to {MAX_SEARCHES} searches were expected, not {count}",
            param="searches",
            code="limit_exceeded",
        )


def of_search(error: InvalidRequest | NotFound, place: int) -> InvalidRequest | NotFound:
    """Return an error that names the search it concerns."""
    message, param = f"searches[{place}].{error}", f"searches[{place}].{error.param}"
    if isinstance(error, InvalidRequest):
        return InvalidRequest(message, param=param, code=error.code)
    return NotFound(message, param=param)
