"""The content of an ingest: JSON or JSON lines."""

from dataclasses import dataclass
from typing import get_args

from tandem_contract import headers
from tandem_contract.client_api import DEFAULT_COLLECTION, OnError
from tandem_contract.decoding import cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.body import media_type_of, query_parameters
from tandem_runtime.request_id import Scope


@dataclass(frozen=True, slots=True)
class Content:
    """How to read the body of an ingest.

    Attributes:
        collection: name of the collection, for JSON lines; None for JSON, where it is a field.
        skip: whether to skip documents that are not valid, for JSON lines; for JSON a field says so.
    """

    collection: str | None = None
    skip: bool = False


def content_of(scope: Scope) -> Content:
    """Return how to read the body of a request, from its headers and its query.

    Raises:
        InvalidMessage: the content type is not taken.
        InvalidRequest: a query parameter is unknown or repeated, or belongs to another content type.
    """
    lines = media_type_of(scope, headers.JSON, headers.NDJSON) == headers.NDJSON
    if lines:
        given = query_parameters(scope, "collection", "on_error")
        on_error = given.get("on_error", "reject")
        if on_error not in get_args(OnError):
            raise InvalidRequest(
                f"on_error: one of {', '.join(get_args(OnError))} was expected, not {cut(on_error)}", param="on_error"
            )
        return Content(given.get("collection", DEFAULT_COLLECTION), on_error == "skip")
    for name in query_parameters(scope, "collection", "on_error"):
        raise InvalidRequest(
            f"{name}: is a field of the body; only {headers.NDJSON} has it as a query parameter", param=name
        )
    return Content()
