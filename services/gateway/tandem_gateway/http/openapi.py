"""Generates the gateway's OpenAPI document from the contract's structs and the configured limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tandem_contract import admin_api
from tandem_contract import client_api as api
from tandem_contract.errors import ErrorReply
from tandem_gateway import __version__
from tandem_gateway.use_cases.ingest import JOB_ID_PATTERN
from tandem_gateway.use_cases.validation import COLLECTION_PATTERN, MAX_ID_CHARS, RequestLimits

_REFERENCE: Final = "#/components/schemas/{name}"

Schema = dict[str, Any]

_COLLECTION: Final = {"type": "string", "pattern": COLLECTION_PATTERN}
# JSON Schema uses the regular expressions of ECMA 262. Their ``\\s`` differs from Python's white space, which is
# therefore spelled out.
_WHITE_SPACE: Final = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_BLANK: Final = f"[^{_WHITE_SPACE}]"
_NO_NUL: Final = {"not": {"pattern": r"\u0000"}}
_NO_CONTROLS: Final = r"^[^\u0000-\u001f\u007f]+$"
_DOT_SEGMENT: Final = r"(^|[/\\]|%2[fF]|%5[cC])(\.|%2[eE]){1,2}($|[/\\]|%2[fF]|%5[cC])"
_DOCUMENT_ID: Final = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS, "pattern": _NO_CONTROLS}
_URL_DOCUMENT_ID: Final = {**_DOCUMENT_ID, "not": {"pattern": _DOT_SEGMENT}}
"""Schema of the id of a new document, or of a document in a path."""
_JOB_ID: Final = {"type": "string", "pattern": JOB_ID_PATTERN}


@dataclass(frozen=True)
class _Parameter:
    name: str
    place: str
    """``path`` or ``query``."""
    description: str
    schema: Schema


@dataclass(frozen=True)
class _Operation:
    method: str
    path: str
    operation_id: str
    summary: str
    reply: Any
    """Type of the reply; for a reply that is not JSON, its media type as a string."""
    errors: tuple[int, ...]
    status: int = 200
    request: Any = None
    parameters: tuple[_Parameter, ...] = ()
    security: tuple[Mapping[str, list[str]], ...] = field(default=())


_OPERATOR: Final[tuple[Mapping[str, list[str]], ...]] = ({"operator": []},)
_IN_COLLECTION: Final = _Parameter("collection", "path", "Name of the collection.", _COLLECTION)
_IN_PATH: Final = _Parameter(
    "document_id",
    "path",
    "Id of the document. An id with a segment '.' or '..' between slashes is refused here: clients remove them.",
    _URL_DOCUMENT_ID,
)
_IN_QUERY: Final = _Parameter("id", "query", "Id of the document.", _DOCUMENT_ID)
_DOCUMENT_PATH: Final = "/v1/collections/{collection}/documents"
# Every path with a parameter can answer 404: a name with a slash or a line end makes it a different path.
_READ: Final = (400, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)

_OPERATIONS: Final = (
    _Operation(
        "post",
        "/v1/search",
        "search",
        "Find the documents nearest to a query.",
        api.SearchReply,
        _READ,
        request=api.SearchRequest,
    ),
    _Operation(
        "post",
        "/v1/ingest",
        "ingest",
        "Store documents; a job embeds them. The reply means that they are on disk.",
        api.Job,
        (400, 403, 408, 413, 415, 422, 429, 500, 503, 504),
        status=202,
        request=api.IngestRequest,
    ),
    _Operation(
        "get",
        "/v1/jobs/{job_id}",
        "get_job",
        "Tell how far an ingest is.",
        api.Job,
        (403, 404, 500, 503, 504),
        parameters=(_Parameter("job_id", "path", "Id of the job.", _JOB_ID),),
    ),
    _Operation(
        "get", "/v1/collections", "list_collections", "List the collections.", api.CollectionList, (403, 500, 503, 504)
    ),
    _Operation(
        "delete",
        "/v1/collections/{collection}",
        "delete_collection",
        "Delete a collection with all its documents; deleting an absent one is no error.",
        api.Deleted,
        (403, 404, 422, 429, 500, 503, 504),
        parameters=(_IN_COLLECTION,),
    ),
    _Operation(
        "get",
        _DOCUMENT_PATH,
        "get_document",
        "Return the newest version of a document.",
        api.StoredDocument,
        (403, 404, 422, 500, 503, 504),
        parameters=(_IN_COLLECTION, _IN_QUERY),
    ),
    _Operation(
        "delete",
        _DOCUMENT_PATH,
        "delete_document",
        "Delete a document; deleting an absent one is no error.",
        api.Deleted,
        (403, 404, 422, 429, 500, 503, 504),
        parameters=(_IN_COLLECTION, _IN_QUERY),
    ),
    _Operation(
        "get",
        f"{_DOCUMENT_PATH}/{{document_id}}",
        "get_document_by_path",
        "Return the newest version of a document.",
        api.StoredDocument,
        (403, 404, 422, 500, 503, 504),
        parameters=(_IN_COLLECTION, _IN_PATH),
    ),
    _Operation(
        "delete",
        f"{_DOCUMENT_PATH}/{{document_id}}",
        "delete_document_by_path",
        "Delete a document; deleting an absent one is no error.",
        api.Deleted,
        (403, 404, 422, 429, 500, 503, 504),
        parameters=(_IN_COLLECTION, _IN_PATH),
    ),
    _Operation(
        "get",
        "/v1/admin/traffic",
        "get_traffic",
        "Tell operators how embedder calls are shared between stable and canary.",
        admin_api.Traffic,
        (401, 403, 404),
        security=_OPERATOR,
    ),
    _Operation(
        "put",
        "/v1/admin/traffic",
        "set_traffic",
        "Change the canary's share, until the next change, rollback or start.",
        admin_api.Traffic,
        (400, 401, 403, 404, 408, 413, 415, 422),
        request=admin_api.TrafficChange,
        security=_OPERATOR,
    ),
    _Operation("get", "/healthz", "health", "Tell how the gateway is.", api.Health, (403, 503)),
    _Operation("get", "/livez", "alive", "Answer while the process runs.", api.Probe, (403,)),
    _Operation("get", "/readyz", "ready", "Answer 200 once requests are served.", api.Probe, (403, 503)),
    _Operation("get", "/metrics", "metrics", "Return the metrics for Prometheus.", "text/plain", (403, 500, 503)),
)


def document(limits: RequestLimits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document with these limits."""
    types: list[Any] = [ErrorReply]
    for operation in _OPERATIONS:
        types += [kind for kind in (operation.request, operation.reply) if isinstance(kind, type)]
    types = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    _set_limits(components, limits)
    references = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, references)
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


def _describe(operation: _Operation, references: Mapping[Any, Schema]) -> dict[str, Any]:
    refused = {"description": "Refused or failed; `code` says why.", "content": _json(references[ErrorReply])}
    if isinstance(operation.reply, str):
        content: dict[str, Any] = {operation.reply: {"schema": {"type": "string"}}}
    else:
        content = _json(references[operation.reply])
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "responses": {
            str(operation.status): {"description": "Done.", "content": content},
            **{str(code): refused for code in operation.errors},
        },
    }
    if operation.operation_id == "health":  # a gateway that cannot start replies in the same format
        described["responses"]["503"] = {"description": "It cannot serve.", "content": content}
    if operation.security:
        described["security"] = list(operation.security)
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": True,
                "description": parameter.description,
                "schema": parameter.schema,
            }
            for parameter in operation.parameters
        ]
    if operation.request is not None:
        described["requestBody"] = {"required": True, "content": _json(references[operation.request])}
    return described


def _set_limits(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the rules that the types do not express: the configured limits, and the patterns of names and texts."""
    search = components["SearchRequest"]["properties"]
    search["query"] |= {"minLength": 1, "maxLength": limits.query_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    search["top_k"] |= {"minimum": 1, "maximum": limits.top_k}
    search["collection"] |= _COLLECTION
    ingest = components["IngestRequest"]["properties"]
    ingest["documents"] |= {"minItems": 1, "maxItems": limits.documents}
    ingest["collection"] |= _COLLECTION
    given = components["DocumentInput"]["properties"]
    given["text"] |= {"minLength": 1, "maxLength": limits.text_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    given["id"] = {"anyOf": [_URL_DOCUMENT_ID, {"type": "null"}], "default": None}
    given["metadata"]["propertyNames"] = _NO_NUL
    _forbid_nul(given["metadata"]["additionalProperties"])
    given["metadata"]["description"] = f"At most {limits.metadata_bytes} bytes of JSON."
    change = components["TrafficChange"]["properties"]
    change["canary_weight"] |= {"minimum": 0, "maximum": 100}
    change["shadow_percent"] = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "null"}]}


def _forbid_nul(schema: Schema) -> None:
    """Forbid U+0000 in the strings of an ``anyOf`` schema, including strings in arrays."""
    for choice in schema["anyOf"]:
        if choice.get("type") == "string":
            choice.update(_NO_NUL)
        elif choice.get("type") == "array":
            choice["items"].update(_NO_NUL)


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
