"""Checks before a load that the server answers and that a search finds something."""

import msgspec

from gateway_bench.api import collections_with_documents, document_count, search_raw
from tandem_tools.client import ApiError, Client


class NothingToFind(Exception):
    """The index is empty; the message says why the benchmark does not time it."""


def check_target(api: Client, body: bytes, *, allow_empty: bool) -> bytes:
    """Return the answer to one search, after a check that the server has documents.

    Args:
        api: client of the server.
        body: body of the search.
        allow_empty: accept an empty index.

    Raises:
        NothingToFind: if the server has no document, or the search finds none.
        ApiError: if the server does not answer as expected.
    """
    count = document_count(api)
    if count == 0 and not allow_empty:
        raise NothingToFind(
            f"{api.url} has no documents (document_count is 0). A server answers a search of an empty index without "
            "embedding or comparing anything, so the rate would be that of its HTTP server or of this client. "
            "Ingest documents first, or use --allow-empty to measure just that"
        )
    try:
        answer = search_raw(api, body)
    except ApiError as error:
        names = collections_with_documents(api) if error.error and error.error.param == "collection" else []
        if names:
            raise NothingToFind(f"{error}; documents are in {', '.join(names)}: name one with --collection") from error
        raise
    if not allow_empty and not _finds_something(answer):
        raise NothingToFind(
            f"{api.url} has {count} documents, but a search of this collection finds none: they are in another "
            "collection than --collection names, or not embedded yet. Use --allow-empty to time it anyway"
        )
    return answer


def _finds_something(answer: bytes) -> bool:
    try:
        results = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])["results"]
        return len(msgspec.json.decode(results, type=list[msgspec.Raw])) > 0
    except (msgspec.MsgspecError, KeyError) as error:
        raise ApiError(f"the answer to a search has no list of results: {answer[:200]!r}") from error
