"""The gateway's OpenAPI document: Litestar's description of the handlers, with the limits of the settings."""

from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    SecurityScheme,
)

from tandem_contract import admin_api, headers
from tandem_contract import client_api as api
from tandem_contract.compatible import ollama, open_webui, openai, rerank, tei
from tandem_contract.errors import ErrorReply
from tandem_gateway import __version__
from tandem_gateway.http.authentication import METRICS, OPEN_PATHS
from tandem_gateway.http.filter_schema import FILTER_SCHEMAS
from tandem_gateway.http.form_schema import form_schema
from tandem_gateway.http.openapi_operations import EVENT_STREAM, KEY, KEY_HEADER, OPERATOR
from tandem_gateway.http.openapi_schemas import (
    COLLECTION,
    FORM,
    PARAMETERS,
    PARAMETERS_OF_OPERATION,
    REFERENCE,
    set_limits,
    set_limits_of_compatible,
    set_limits_of_embeddings,
    set_limits_of_rerank,
)
from tandem_gateway.http.openapi_texts import RESPONSE_HEADERS, add_response_headers, describe_fields, to_markdown
from tandem_gateway.use_cases.validation import RequestLimits

_MESSAGES: Final = (
    ErrorReply, api.SearchRequest, api.SearchReply, api.SimilarRequest, api.SearchBatch,
    api.SearchBatchReply, api.IngestRequest, api.Job,
    api.JobList, api.JobDocumentList, api.FilesJob, api.RetriedJob,
    api.CollectionList, api.Collection, api.CollectionSettings, api.Reembedding,
    api.SpaceOverlap,
    api.SourceList, api.SourceReply,
    api.Deleted, api.StoredDocument, api.DocumentPatch, api.DocumentList, api.DocumentIds, api.FoundDocuments,
    api.DocumentDeletion, api.DeletedDocuments, api.FacetsRequest, api.FacetsReply, api.About, api.Health, api.Probe,
    rerank.RerankRequest, rerank.RerankReply, rerank.CohereError,
    rerank.TeiRerankRequest, rerank.TeiRank,
    openai.EmbeddingsRequest, openai.EmbeddingsReply, openai.ModelList,
    ollama.OllamaEmbedRequest, ollama.OllamaEmbedReply, ollama.OllamaPromptRequest, ollama.OllamaPromptReply,
    ollama.OllamaTags, ollama.OllamaVersion, ollama.OllamaError, tei.TeiEmbedRequest, tei.TeiInfo, tei.TeiError,
    admin_api.Traffic, admin_api.TrafficChange, admin_api.KeyRequest, admin_api.Key, admin_api.NewKey,
    admin_api.KeyList, admin_api.UsageList,
    open_webui.WebSearchRequest, open_webui.WebSearchResult, open_webui.LoadedDocument,
)  # fmt: skip


# OpenAPI 3.1 says nothing of streams. By common use, the schema is that of an event.
_JOB_EVENT: Final = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "end", "refused"]},
        "data": {
            "type": "string",
            "contentMediaType": headers.JSON,
            "contentSchema": {"$ref": REFERENCE.format(name="Job")},
        },
    },
    "required": ["event", "data"],
}


RATE_LIMIT_HEADERS: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit-Limit": {
        "description": "With a limited key: what the limit of which the smallest share is left allows at once.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Remaining": {
        "description": "With a limited key: what is left of this limit.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Reset": {
        "description": "With a limited key: seconds until all of it is left.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
"""Headers of a reply with the status 429; those of the limits are on every reply to a limited key."""


def openapi_config() -> OpenAPIConfig:
    """Return Litestar's configuration; ``docs`` serves the document and its page, not Litestar."""
    return OpenAPIConfig(
        title="Tandem gateway",
        version=__version__,
        description="Semantic search: store documents, then find those nearest in meaning to a query. "
        "Every response has an X-Request-Id. Errors have the shape of ErrorReply, except on routes for "
        "clients of other services, whose shape they have there.",
        components=Components(
            security_schemes={
                KEY: SecurityScheme(
                    type="http", scheme="bearer", description="An API key; needed while access control is on."
                ),
                KEY_HEADER: SecurityScheme(
                    type="apiKey",
                    name="api-key",
                    security_scheme_in="header",
                    description="The same key in a header; x-api-key works as well.",
                ),
                OPERATOR: SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="The value of TANDEM_ADMIN_TOKEN, for the traffic alone.",
                ),
            }
        ),
        openapi_router=Router("/litestar", route_handlers=[], include_in_schema=False, dto=None, return_dto=None),
        render_plugins=[JsonRenderPlugin()],
    )


def document(app: Litestar, limits: RequestLimits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application's handlers, with these limits; takes about 50 ms.

    Litestar describes the operations. The schemas of messages are msgspec's, because Litestar writes a union as
    ``oneOf``: 5 matches both the number and the integer of ``int | float``, so ``oneOf`` would refuse it.
    """
    described = app.openapi_schema.to_schema()
    _, schemas = msgspec.json.schema_components(_MESSAGES, ref_template=REFERENCE)
    set_limits(schemas, limits)
    set_limits_of_rerank(schemas, limits)
    set_limits_of_compatible(schemas, limits)
    set_limits_of_embeddings(schemas, limits)
    describe_fields(schemas)
    schemas |= FILTER_SCHEMAS
    schemas[FORM] = form_schema(schemas["DocumentInput"]["properties"]["metadata"], COLLECTION, limits)
    described["components"]["schemas"] = schemas
    described["components"]["headers"] = RESPONSE_HEADERS
    del described["servers"]  # "/", which is wrong behind a proxy that serves the gateway under a path
    for path, operations in described["paths"].items():
        for operation in operations.values():
            _complete(operation)
            if path not in OPEN_PATHS or path == METRICS:
                _secure(operation)
            add_response_headers(path, operation)
    to_markdown(described)
    return described


def _secure(operation: dict[str, Any]) -> None:
    """Add the keys that an operation takes, and the refusals of a request without one and of one beyond a limit.

    The empty requirement stands for a gateway without access control.
    """
    operation["security"] = [{KEY: []}, {KEY_HEADER: []}, *operation.get("security", [{}])]
    refused = operation["responses"]["403"]
    operation["responses"]["401"] = {**refused, "description": "Error: `unauthorized`"}
    limited = operation["responses"].setdefault("429", {**refused, "description": "Error: `rate_limited`"})
    limited["headers"] = RATE_LIMIT_HEADERS


def _complete(operation: dict[str, Any]) -> None:
    """Add the rules of the parameters, and drop the error that Litestar documents for each route with a parameter."""
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        for unset in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(unset, None)
        of_operation = PARAMETERS_OF_OPERATION.get((operation["operationId"], parameter["name"]))
        parameter["schema"] = of_operation or PARAMETERS[parameter["in"], parameter["name"]]
    operation.pop("deprecated", None)
    for response in operation["responses"].values():
        if EVENT_STREAM in response.get("content", {}):
            response["content"][EVENT_STREAM]["schema"] = _JOB_EVENT
        if not response.get("headers"):
            response.pop("headers", None)
    bad = operation["responses"].get("400")
    if bad is not None and "$ref" not in bad["content"][headers.JSON]["schema"]:
        del operation["responses"]["400"]
