"""The tools: each decodes its arguments, calls a use case and returns its result as JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from tandem_contract.decoding import decode_json
from tandem_gateway.access.use_cases import CallersUseCases
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.http.body import caller_timeout
from tandem_gateway.http.mcp import results
from tandem_gateway.http.mcp.messages import (
    MAX_FETCHED,
    MAX_TOKENS,
    MIN_TOKENS,
    FetchArguments,
    ListArguments,
    SearchArguments,
)
from tandem_gateway.http.messages import ReceivedSearch, search_command
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.use_cases.result_pages import Answer
from tandem_runtime.durations import duration
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Scope

_LARGE_CHARS: Final = 64 << 10
"""A thread makes results of longer texts, because they would hold the event loop."""
_AT: Final = "arguments"

_search = msgspec.json.Decoder(SearchArguments)
_fetch = msgspec.json.Decoder(FetchArguments)
_list = msgspec.json.Decoder(ListArguments)

Tool = Callable[[bytes, Scope, Lease], Awaitable[bytes]]
"""Takes the arguments as JSON, the request's scope and the lease of its memory; returns the result as JSON."""


class Tools:
    """The tools of a gateway, by name. Each raises the errors that the routes of the client API raise."""

    def __init__(self, gateway: Gateway, timeout: float) -> None:
        """Make the tools.

        Args:
            gateway: the gateway.
            timeout: deadline of a call, in seconds; the caller's header can shorten it.
        """
        self._gateway = gateway
        self._timeout = timeout
        self.by_name: Mapping[str, Tool] = {
            "search": self.search,
            "fetch": self.fetch,
            "list_collections": self.list_collections,
        }

    def _use_cases(self, scope: Scope) -> CallersUseCases:
        """Return the use cases that the caller of a request may use; every tool takes them from here."""
        return self._gateway.ready(principal_of(scope))

    async def search(self, given: bytes, scope: Scope, lease: Lease) -> bytes:
        """Search, and return the passages that fit."""
        arguments = decode_json(given, _search, at=_AT)
        _check_tokens(arguments.max_tokens)
        command = search_command(
            ReceivedSearch(
                arguments.query, arguments.top_k, arguments.collection, arguments.mode, filter=arguments.filter
            )
        )
        timeout = caller_timeout(scope)
        answer: Answer = await self._use_cases(scope).search_pipeline.answer(command, timeout)
        size = sum(len(hit.text) + len(hit.metadata) for hit in answer.hits)
        return await _made(size, results.found_passages, answer, arguments.collection, arguments.max_tokens)

    async def fetch(self, given: bytes, scope: Scope, lease: Lease) -> bytes:
        """Return documents, or as much of them as fits."""
        arguments = decode_json(given, _fetch, at=_AT)
        _check_tokens(arguments.max_tokens)
        if (arguments.id is None) == (arguments.ids is None):
            raise InvalidRequest("id: either id or ids was expected, and not both", param="id")
        if arguments.ids is None:
            return await self._fetch_one(arguments, scope, lease)
        for name in ("start", "end"):
            if getattr(arguments, name) is not None:
                raise InvalidRequest(f"{name}: is for one document, so it needs id instead of ids", param=name)
        if len(arguments.ids) > MAX_FETCHED:
            raise InvalidRequest(
                f"ids: 1 to {MAX_FETCHED} ids were expected, not {len(arguments.ids)}",
                param="ids",
                code="limit_exceeded",
            )
        documents = self._use_cases(scope).documents
        async with self._deadline(scope):
            views = await documents.documents(arguments.collection, arguments.ids)
        size = sum(len(view.text) + len(view.metadata) for view in views)
        lease.add(2 * size)
        found = {view.doc_id for view in views}
        missing = [doc_id for doc_id in dict.fromkeys(arguments.ids) if doc_id not in found]
        return await _made(size, results.many_documents, views, missing, arguments.collection, arguments.max_tokens)

    async def _fetch_one(self, arguments: FetchArguments, scope: Scope, lease: Lease) -> bytes:
        assert arguments.id is not None
        documents = self._use_cases(scope).documents
        async with self._deadline(scope):
            view = await documents.document(arguments.collection, arguments.id)
        length = len(view.text)
        lease.add(2 * (length + len(view.metadata)))
        start = 0 if arguments.start is None else arguments.start
        end = length if arguments.end is None else min(arguments.end, length)
        if not 0 <= start <= length:
            raise InvalidRequest(
                f"start: a whole number from 0 to {length}, the document's characters, was expected, not {start}",
                param="start",
            )
        if end < start:
            raise InvalidRequest(f"end: a whole number from start ({start}) was expected, not {end}", param="end")
        return await _made(length, results.one_document, view, arguments.collection, start, end, arguments.max_tokens)

    async def list_collections(self, given: bytes, scope: Scope, lease: Lease) -> bytes:
        """Return the collections."""
        arguments = decode_json(given, _list, at=_AT)
        _check_tokens(arguments.max_tokens)
        documents = self._use_cases(scope).documents
        async with self._deadline(scope):
            records = await documents.collections()
        return results.listed_collections(records, arguments.max_tokens)

    def _deadline(self, scope: Scope) -> "_Deadline":
        shorter = caller_timeout(scope)
        return _Deadline(self._timeout if shorter is None else min(shorter, self._timeout))


class _Deadline:
    """Raises ``DeadlineExceeded`` instead of ``TimeoutError``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self._timeout.__aexit__(*raised)  # type: ignore[arg-type]
        except TimeoutError:
            raise DeadlineExceeded(f"the call took longer than {duration(self._seconds)}") from None


async def _made(size: int, make: Callable[..., bytes], *arguments: object) -> bytes:
    """Return a result; a thread makes it if its texts have many characters."""
    if size <= _LARGE_CHARS:
        return make(*arguments)
    return await asyncio.to_thread(make, *arguments)


def _check_tokens(given: int) -> None:
    if not MIN_TOKENS <= given <= MAX_TOKENS:
        raise InvalidRequest(
            f"max_tokens: a whole number from {MIN_TOKENS} to {MAX_TOKENS} was expected, not {given}",
            param="max_tokens",
            code="limit_exceeded",
        )
