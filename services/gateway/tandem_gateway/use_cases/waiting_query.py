"""A query that waits for its vector: how it fails, and how those of a batch are divided into calls."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tandem_gateway.errors import GatewayError
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.explanation import Stages
from tandem_gateway.use_cases.caller import Caller
from tandem_gateway.use_cases.fair_turns import Waiting
from tandem_runtime.trace import TraceContext

log = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Any], Sequence[QueryVector]], Awaitable[None]]
"""Takes the queries of one call and their vectors, and sets the outcome of each query, whatever happens."""


class Query(msgspec.Struct, eq=False):
    """A text that waits for its vector, and the caller that waits for an answer."""

    answer: "asyncio.Future[Any] | None"
    """None once the query has failed."""
    text: str
    fingerprint: str | None
    """Preferred model; only a hint, as in ``Embedder.embed``."""
    deliver: Deliver
    request_id: str | None
    trace: TraceContext | None
    stages: Stages | None
    """Gets the time of the wait and of the call; None if its caller does not ask."""
    caller: Caller | None = None
    """For whom the text is embedded; None if it is not known."""


def fail_all(queries: Sequence[Query], error: BaseException) -> None:
    """Fail every query that has no outcome yet with the same error.

    Raises:
        BaseException: ``error`` itself if it must end the task, as CancelledError does.
    """
    if not isinstance(error, GatewayError):
        log.error("a batch of searches failed", exc_info=error)
    for query in queries:
        fail(query, error)
    if not isinstance(error, Exception):
        raise error


def fail(query: Query, error: BaseException) -> None:
    """Fail a query with an error, unless it has an outcome or its caller has stopped waiting."""
    # The error's traceback refers to frames that refer to the query. If the query kept its future, and so the error,
    # they would form a reference cycle.
    answer, query.answer = query.answer, None
    if answer is None or answer.done():
        return
    answer.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
    # Marks the error as retrieved: if the waiter was cancelled, asyncio would log the error as never retrieved.
    answer.exception()


def by_model(batch: Sequence[Waiting[Query]]) -> dict[str | None, list[Waiting[Query]]]:
    """Return the calls that queries need: one for each model that they prefer, because an embedder has one model.

    Queries that prefer none join the first call.
    """
    groups: dict[str | None, list[Waiting[Query]]] = {}
    for waiting in batch:
        if waiting.query.fingerprint is not None:
            groups.setdefault(waiting.query.fingerprint, []).append(waiting)
    rest = [waiting for waiting in batch if waiting.query.fingerprint is None]
    if rest:
        groups.setdefault(next(iter(groups), None), []).extend(rest)
    return groups


def by_receiver(queries: Sequence[Query]) -> dict[Deliver, list[Query]]:
    """Return the queries of each ``deliver`` function."""
    groups: defaultdict[Deliver, list[Query]] = defaultdict(list)
    for query in queries:
        groups[query.deliver].append(query)
    return groups
