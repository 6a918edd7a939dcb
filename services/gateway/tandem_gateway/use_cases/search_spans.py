"""The span of a search; ``records.explanation.Stages`` records those of its stages."""

from collections.abc import Awaitable, Callable

from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.result_pages import Answer
from tandem_runtime.trace import Span
from tandem_runtime.tracing import within


async def traced_search(span: Span, command: SearchCommand, answer: Callable[[], Awaitable[Answer]]) -> Answer:
    """Answer a search within a span of its own.

    Args:
        span: of the request. A request with several searches has a span for each.
        command: the search. The span gets its numbers and modes, and nothing that the query says.
        answer: answers it.
    """
    span.admitted()
    with within(span.child("search")) as search:
        search.set("tandem.collection", command.collection)
        search.set("tandem.mode", command.mode)
        search.set("tandem.top_k", command.top_k)
        search.set("tandem.filtered", command.filter is not None)
        found = await answer()
        search.set("tandem.answered_by", found.mode)
        search.set("tandem.degraded", found.degraded)
        search.set("tandem.hits", len(found.hits))
        return found
