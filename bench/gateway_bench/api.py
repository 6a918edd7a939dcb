"""The benchmark's calls outside of its timed loads, in addition to those of the API client.

They also work with servers that have only the core of the client API: ingest, jobs, search and ``document_count``.
"""

import msgspec

from tandem_tools.client import SEARCH_PATH, ApiError, Client
from tandem_tools.corpus import Document


class _Count(msgspec.Struct):
    document_count: int | None


def document_count(api: Client) -> int:
    """Return how many documents the server says it has.

    Raises:
        ApiError: the server does not tell, because the API key is not for every collection.
    """
    count = api.call("GET", "/healthz", _Count).document_count
    if count is None:
        raise ApiError("GET /healthz has no document_count: the API key must be for every collection")
    return count


def collections_with_documents(api: Client) -> list[str]:
    """Return the names of the collections that hold documents; none if the server does not know the route."""
    try:
        return [collection.name for collection in api.collections() if collection.document_count]
    except ApiError:
        return []


def search_raw(api: Client, body: bytes) -> bytes:
    """Send the body of a search as it is, and return the body of the answer.

    Raises:
        ApiError: if the answer is not 200 with a JSON object.
    """
    response = api.send("POST", SEARCH_PATH, body=body)
    try:
        msgspec.json.decode(response.content, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise ApiError(f"POST {SEARCH_PATH} answered no JSON object: {response.text[:200]!r}", response) from error
    return response.content


def make_empty_collection(api: Client) -> None:
    """Create the default collection without documents, if the server answers 404 while it does not exist."""
    try:
        api.send("POST", SEARCH_PATH, body={"query": "anything"})
    except ApiError as error:
        if error.status != 404:
            return
        document = Document("to-be-deleted", "A document that is deleted at once.")
        api.ingest_all([document])
        api.delete_document(document.id)
