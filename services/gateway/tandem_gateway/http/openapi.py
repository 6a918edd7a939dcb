"""The OpenAPI document of the client API, made from the contract's structs, so that it cannot say otherwise."""

from functools import cache
from typing import Any

import msgspec

from tandem_contract import admin_api
from tandem_contract import client_api as api
from tandem_contract.errors import ErrorReply
from tandem_gateway import __version__

_REFERENCE = "#/components/schemas/{name}"

_ADMIN = "/v1/admin/"
_COLLECTION = ("collection", "Name of the collection.")
_DOCUMENT = ("document_id", "Id of the document.")

# Method, path, operationId, summary, request, status and reply, path parameters, statuses of errors.
_OPERATIONS: list[tuple[str, str, str, str, Any, tuple[str, Any], list[tuple[str, str]], list[int]]] = [
    (
        "post",
        "/v1/search",
        "search",
        "Find the documents nearest to a query.",
        api.SearchRequest,
        ("200", api.SearchReply),
        [],
        [400, 404, 408, 413, 415, 422, 429, 500, 503, 504],
    ),
    (
        "post",
        "/v1/ingest",
        "ingest",
        "Store documents; a job embeds them. The reply means that they are on disk.",
        api.IngestRequest,
        ("202", api.Job),
        [],
        [400, 408, 413, 415, 422, 429, 500, 503, 504],
    ),
    (
        "get",
        "/v1/jobs/{job_id}",
        "get_job",
        "Tell how far an ingest is.",
        None,
        ("200", api.Job),
        [("job_id", "Id of the job.")],
        [404, 500, 503],
    ),
    (
        "get",
        "/v1/collections",
        "list_collections",
        "List the collections.",
        None,
        ("200", api.CollectionList),
        [],
        [503],
    ),
    (
        "delete",
        "/v1/collections/{collection}",
        "delete_collection",
        "Delete a collection with all its documents; deleting an absent one is no error.",
        None,
        ("200", api.Deleted),
        [_COLLECTION],
        [422, 429, 503, 504],
    ),
    (
        "get",
        "/v1/collections/{collection}/documents/{document_id}",
        "get_document",
        "Return the newest version of a document.",
        None,
        ("200", api.StoredDocument),
        [_COLLECTION, _DOCUMENT],
        [404, 422, 500, 503],
    ),
    (
        "delete",
        "/v1/collections/{collection}/documents/{document_id}",
        "delete_document",
        "Delete a document; deleting an absent one is no error.",
        None,
        ("200", api.Deleted),
        [_COLLECTION, _DOCUMENT],
        [422, 429, 503, 504],
    ),
    (
        "get",
        "/v1/admin/traffic",
        "get_traffic",
        "Tell operators how embedder calls are shared between stable and canary.",
        None,
        ("200", admin_api.Traffic),
        [],
        [401, 404],
    ),
    (
        "put",
        "/v1/admin/traffic",
        "set_traffic",
        "Change the canary's share, until the next change, roll-back or start.",
        admin_api.TrafficChange,
        ("200", admin_api.Traffic),
        [],
        [400, 401, 404, 408, 413, 415, 422],
    ),
    ("get", "/healthz", "health", "Tell how the gateway is.", None, ("200", api.Health), [], [503]),
]


@cache
def document() -> dict[str, Any]:
    """Return the document, in OpenAPI 3.1."""
    types = [ErrorReply]
    for _, _, _, _, request, (_, reply), _, _ in _OPERATIONS:
        types += [kind for kind in (request, reply) if kind is not None]
    schemas, components = msgspec.json.schema_components(dict.fromkeys(types), ref_template=_REFERENCE)
    references = dict(zip(dict.fromkeys(types), schemas, strict=True))
    refusal = {"description": "Refused or failed; `code` says why.", "content": _content(references[ErrorReply])}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation_id, summary, request, (status, reply), parameters, errors in _OPERATIONS:
        operation: dict[str, Any] = {
            "operationId": operation_id,
            "summary": summary,
            "responses": {
                status: {"description": "Done.", "content": _content(references[reply])},
                **{str(code): refusal for code in errors},
            },
        }
        if path.startswith(_ADMIN):
            operation["security"] = [{"operator": []}]
        if parameters:
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
                for name, text in parameters
            ]
        if request is not None:
            operation["requestBody"] = {"required": True, "content": _content(references[request])}
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem gateway",
            "version": __version__,
            "description": "Semantic search: documents in, the nearest ones out. "
            "Every response has an X-Request-Id; every error has the shape of ErrorReply.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}}},
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
