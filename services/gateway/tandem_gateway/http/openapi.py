"""The gateway's OpenAPI document: Litestar's description of the handlers, with the limits of the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
from litestar import Litestar, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Encoding,
    Example,
    OpenAPIMediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    SecurityScheme,
)
from litestar.openapi.spec import Schema as LitestarSchema
from litestar.openapi.spec.enums import OpenAPIType

from tandem_contract import admin_api, headers
from tandem_contract import client_api as api
from tandem_contract.embed import MIN_PASSAGE_TOKENS
from tandem_contract.errors import ErrorReply
from tandem_gateway import __version__
from tandem_gateway.filters import parsing as filters
from tandem_gateway.http.filter_schema import FILTER_SCHEMAS
from tandem_gateway.http.form_schema import form_schema
from tandem_gateway.use_cases.batch_search import MAX_SEARCHES
from tandem_gateway.use_cases.collections import MAX_PASSAGE_TOKENS
from tandem_gateway.use_cases.documents import MAX_IDS, MAX_PAGE
from tandem_gateway.use_cases.facets import MAX_FIELDS, MAX_VALUES
from tandem_gateway.use_cases.fusion import FUSING_MODES, MAX_K, MAX_WEIGHT
from tandem_gateway.use_cases.highlighting import MAX_HIGHLIGHTS
from tandem_gateway.use_cases.idempotency import KEY_PATTERN
from tandem_gateway.use_cases.jobs import JOB_ID_PATTERN, MAX_WAIT_SECONDS
from tandem_gateway.use_cases.reembedding import DEFAULT_QUERIES, MAX_QUERIES
from tandem_gateway.use_cases.similar_search import MAX_NUMBERS
from tandem_gateway.use_cases.sources import MAX_LISTED
from tandem_gateway.use_cases.validation import COLLECTION_PATTERN, HASH_PATTERN, MAX_ID_CHARS, RequestLimits
from tandem_runtime.replies import STATUS

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
_HASH: Final = {"type": "string", "pattern": HASH_PATTERN}
_IDS: Final = {"type": "array", "items": _DOCUMENT_ID, "minItems": 1, "maxItems": MAX_IDS}
_JOB_ID: Final = {"type": "string", "pattern": JOB_ID_PATTERN}
_PARAMETERS: Final[dict[tuple[str, str], Schema]] = {
    ("path", "job_id"): _JOB_ID,
    ("path", "collection"): _COLLECTION,
    ("path", "source"): _COLLECTION,
    ("path", "document_id"): _URL_DOCUMENT_ID,
    ("query", "id"): _DOCUMENT_ID,
    ("query", "filter"): {"type": "string", "maxLength": filters.MAX_BYTES, "contentMediaType": headers.JSON},
    ("query", "wait_seconds"): {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    ("query", "queries"): {"type": "integer", "minimum": 1, "maximum": MAX_QUERIES, "default": DEFAULT_QUERIES},
    ("query", "status"): {"type": "string", "enum": list(get_args(api.JobStatus))},
    ("query", "collection"): _COLLECTION,
    ("query", "on_error"): {"type": "string", "enum": list(get_args(api.OnError))},
    ("query", "limit"): {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
    ("query", "cursor"): {"type": "string", "maxLength": 4096},
    ("header", headers.IDEMPOTENCY_KEY): {"type": "string", "pattern": KEY_PATTERN},
}
_PARAMETERS_OF_OPERATION: Final[dict[tuple[str, str], Schema]] = {
    ("list_job_documents", "status"): {"type": "string", "enum": list(get_args(api.JobDocumentStatus))},
}
"""Operation and name of a query parameter that has another schema than the others of its name."""
_FORM: Final = "FilesForm"
_MESSAGES: Final = (
    ErrorReply, api.SearchRequest, api.SearchReply, api.SimilarRequest, api.SearchBatch,
    api.SearchBatchReply, api.IngestRequest, api.Job,
    api.JobList, api.JobDocumentList, api.FilesJob,
    api.CollectionList, api.Collection, api.CollectionSettings, api.Reembedding,
    api.SpaceOverlap,
    api.SourceList, api.SourceReply,
    api.Deleted, api.StoredDocument, api.DocumentPatch, api.DocumentList, api.DocumentIds, api.FoundDocuments,
    api.DocumentDeletion, api.DeletedDocuments, api.FacetsRequest, api.FacetsReply, api.About, api.Health, api.Probe,
    admin_api.Traffic, admin_api.TrafficChange,
)  # fmt: skip


_NO_TYPES: Final[Mapping[str, OpenAPIMediaType]] = {}
_LINES: Final = '{"id": "mat", "text": "The cat sat on the mat."}\n{"text": "Steep the leaves for three minutes."}\n'
_IDEMPOTENCY_KEY: Final = Parameter(
    name=headers.IDEMPOTENCY_KEY,
    param_in="header",
    required=False,
    description="The client's name for this ingest. The same documents with the same key are stored once in 24 hours: "
    "a repeated request gets the job of the first one, other documents get 409.",
    schema=LitestarSchema(type=OpenAPIType.STRING),
)
INGEST_PARAMETERS: Final = (
    _IDEMPOTENCY_KEY,
    Parameter(
        name="collection",
        param_in="query",
        required=False,
        description=f"Name of the collection, for {headers.NDJSON} only.",
        schema=LitestarSchema(type=OpenAPIType.STRING),
    ),
    Parameter(
        name="on_error",
        param_in="query",
        required=False,
        description=f"What to do with documents that are not valid, for {headers.NDJSON} only.",
        schema=LitestarSchema(type=OpenAPIType.STRING),
    ),
)
INGEST_LINES: Final = {
    headers.NDJSON: OpenAPIMediaType(
        schema=LitestarSchema(type=OpenAPIType.STRING, description="One DocumentInput a line."),
        examples={"two": Example(summary="Two documents", value=_LINES)},
    )
}
EVENT_STREAM: Final = "text/event-stream"
# OpenAPI 3.1 says nothing of streams. By common use, the schema is that of an event.
_JOB_EVENT: Final = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "end"]},
        "data": {
            "type": "string",
            "contentMediaType": headers.JSON,
            "contentSchema": {"$ref": _REFERENCE.format(name="Job")},
        },
    },
    "required": ["event", "data"],
}
OPERATOR: Final = "operator"
"""Name of the security scheme of the operators' routes."""

Examples = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name → summary and value."""

SEARCH_EXAMPLES: Final[Examples] = {
    "nearest": ("Five documents", {"query": "a pet on a rug", "top_k": 5}),
    "filtered": (
        "Among the documents that match a filter",
        {"query": "a pet on a rug", "filter": {"page": {"$lt": 5}, "tags": {"$contains": "pets"}}},
    ),
    "keywords": ("By keywords, in one collection", {"query": "leaves", "mode": "lexical", "collection": "default"}),
}
COLLECTION_EXAMPLES: Final[Examples] = {
    "passages": (
        "Split texts into passages of at most 128 tokens",
        {"chunking": {"max_tokens": 128, "overlap_tokens": 16}},
    ),
    "whole": ("Embed each text as a whole, cut at the model's limit", {"chunking": None}),
}
BATCH_EXAMPLES: Final[Examples] = {
    "two": ("Two searches", {"searches": [{"query": "a pet on a rug"}, {"query": "leaves", "mode": "lexical"}]}),
}
SIMILAR_EXAMPLES: Final[Examples] = {
    "document": ("The documents similar to one", {"document_id": "mat", "top_k": 3}),
}
INGEST_EXAMPLES: Final[Examples] = {
    "two": (
        "Two documents, one of them without an id",
        {
            "documents": [
                {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"page": 1, "tags": ["pets", "prose"]}},
                {"text": "Steep the leaves for three minutes."},
            ]
        },
    ),
}
PATCH_EXAMPLES: Final[Examples] = {
    "merge": ("Set one key and remove another", {"metadata": {"page": 2, "tags": None}}),
}
SOURCE_EXAMPLES: Final[Examples] = {
    "two": ("A source of two documents", {"documents": [{"id": "mat", "hash": "v1"}, {"id": "tea", "hash": "v3"}]}),
}
IDS_EXAMPLES: Final[Examples] = {"two": ("Two documents", {"ids": ["mat", "tea"]})}
FACETS_EXAMPLES: Final[Examples] = {"two": ("Two fields", {"fields": ["page", "tags"], "limit": 5})}
DELETION_EXAMPLES: Final[Examples] = {
    "ids": ("Two documents", {"ids": ["mat", "tea"]}),
    "filter": ("All that match a filter", {"filter": {"page": {"$lt": 5}, "tags": {"$contains": "pets"}}}),
}


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the statuses of a route's errors, for its ``responses``; Litestar's ``raises`` documents another shape."""
    return {
        status: ResponseSpec(ErrorReply, generate_examples=False, description=_error_codes(status))
        for status in statuses
    }


def _error_codes(status: int) -> str:
    return "Error: " + ", ".join(f"`{code}`" for code, of_code in STATUS.items() if of_code == status)


def with_body(
    kind: type[msgspec.Struct],
    examples: Examples | None = None,
    parameters: Sequence[Parameter] = (),
    others: Mapping[str, OpenAPIMediaType] = _NO_TYPES,
) -> type[Operation]:
    """Return the class of an operation whose request's body is a ``kind``; also for a handler that reads it itself."""
    shown = {name: Example(summary=summary, value=value) for name, (summary, value) in (examples or {}).items()}

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            schema = Reference(ref=_REFERENCE.format(name=kind.__name__))
            content = OpenAPIMediaType(schema=schema, examples={**shown} or None)
            self.parameters = [*(self.parameters or []), *parameters] or None
            self.request_body = RequestBody(content={headers.JSON: content, **others}, required=True)

    return WithBody


@dataclass
class FilesByForm(Operation):
    """An operation whose body is a form of files, which its handler reads as it arrives."""

    def __post_init__(self) -> None:
        """Add the parameter and the body."""
        self.parameters = [*(self.parameters or []), _IDEMPOTENCY_KEY]
        form = OpenAPIMediaType(
            schema=Reference(ref=_REFERENCE.format(name=_FORM)),
            # The gateway reads no type of a part.
            encoding={"metadata": Encoding(content_type=headers.JSON)},
        )
        self.request_body = RequestBody(content={headers.FORM: form}, required=True)


@dataclass
class DocumentByQuery(Operation):
    """An operation on the document whose id is the query parameter ``id``, which its handler reads strictly."""

    def __post_init__(self) -> None:
        """Add the parameter."""
        by_id = Parameter(
            name="id",
            param_in="query",
            required=True,
            description="Id of the document.",
            schema=LitestarSchema(type=OpenAPIType.STRING),
        )
        self.parameters = [*(self.parameters or []), by_id]


@dataclass
class DocumentsByQuery(Operation):
    """An operation on one document or on a page of documents, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameters."""
        described = {
            "id": "Id of the document to return; without it the reply is a page. It excludes the other parameters.",
            "filter": "The documents of the pages match this filter, a JSON object as in DocumentDeletion.",
            "limit": "Maximum number of documents on the page.",
            "cursor": "The `next_cursor` of the page before.",
        }
        string = LitestarSchema(type=OpenAPIType.STRING)
        more = [
            Parameter(name=name, param_in="query", required=False, description=description, schema=string)
            for name, description in described.items()
        ]
        self.parameters = [*(self.parameters or []), *more]


@dataclass
class JobByQuery(Operation):
    """An operation on one job, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameter."""
        wait = _optional("wait_seconds", "Seconds to wait for the end of the job before the reply.")
        self.parameters = [*(self.parameters or []), wait]


@dataclass
class JobsByQuery(Operation):
    """An operation on a page of jobs, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameters."""
        self.parameters = [
            _optional("status", "Only jobs with this status."),
            _optional("collection", "Only jobs of this collection."),
            _optional("limit", "Maximum number of jobs on the page."),
            _optional("cursor", "The `next_cursor` of the page before."),
        ]


@dataclass
class OverlapByQuery(Operation):
    """A comparison of searches, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameter."""
        queries = _optional("queries", "Maximum number of stored documents to search for.")
        self.parameters = [*(self.parameters or []), queries]


@dataclass
class JobDocumentsByQuery(Operation):
    """An operation on a page of a job's documents, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameters."""
        self.parameters = [
            *(self.parameters or []),
            _optional("status", "Only documents with this status."),
            _optional("limit", "Maximum number of documents on the page."),
            _optional("cursor", "The `next_cursor` of the page before."),
        ]


def _optional(name: str, description: str) -> Parameter:
    schema = LitestarSchema(type=OpenAPIType.STRING)
    return Parameter(name=name, param_in="query", required=False, description=description, schema=schema)


def openapi_config() -> OpenAPIConfig:
    """Return Litestar's configuration; ``docs`` serves the document and its page, not Litestar."""
    return OpenAPIConfig(
        title="Tandem gateway",
        version=__version__,
        description="Semantic search: store documents, then find those nearest in meaning to a query. "
        "Every response has an X-Request-Id. Every error has the shape of ErrorReply.",
        components=Components(
            security_schemes={
                OPERATOR: SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="Only the operators' routes need it: the value of TANDEM_ADMIN_TOKEN.",
                )
            }
        ),
        openapi_router=Router("/litestar", route_handlers=[], include_in_schema=False, dto=None, return_dto=None),
        render_plugins=[JsonRenderPlugin()],
    )


def document(app: Litestar, limits: RequestLimits) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application's handlers, with these limits; takes about 30 ms.

    Litestar describes the operations. The schemas of messages are msgspec's, because Litestar writes a union as
    ``oneOf``: 5 matches both the number and the integer of ``int | float``, so ``oneOf`` would refuse it.
    """
    described = app.openapi_schema.to_schema()
    _, schemas = msgspec.json.schema_components(_MESSAGES, ref_template=_REFERENCE)
    _set_limits(schemas, limits)
    schemas |= FILTER_SCHEMAS
    schemas[_FORM] = form_schema(schemas["DocumentInput"]["properties"]["metadata"], _COLLECTION, limits)
    described["components"]["schemas"] = schemas
    del described["servers"]  # "/", which is wrong behind a proxy that serves the gateway under a path
    for operations in described["paths"].values():
        for operation in operations.values():
            _complete(operation)
    return described


def _complete(operation: dict[str, Any]) -> None:
    """Add the rules of the parameters, and drop the error that Litestar documents for each route with a parameter."""
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        for unset in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(unset, None)
        of_operation = _PARAMETERS_OF_OPERATION.get((operation["operationId"], parameter["name"]))
        parameter["schema"] = of_operation or _PARAMETERS[parameter["in"], parameter["name"]]
    operation.pop("deprecated", None)
    for response in operation["responses"].values():
        if EVENT_STREAM in response.get("content", {}):
            response["content"][EVENT_STREAM]["schema"] = _JOB_EVENT
        if not response.get("headers"):
            response.pop("headers", None)
    bad = operation["responses"].get("400")
    if bad is not None and "$ref" not in bad["content"][headers.JSON]["schema"]:
        del operation["responses"]["400"]


def _or_null(kind: str, minimum: int, maximum: int) -> Schema:
    number = {"type": kind, "minimum": minimum, "maximum": maximum}
    return {"anyOf": [number, {"type": "null"}], "default": None}


def _set_limits(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the rules that the types do not express: the configured limits, and the patterns of names and texts."""
    query = components["SearchRequest"]["properties"]["query"]
    query |= {"minLength": 1, "maxLength": limits.query_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    for kind in ("SearchRequest", "SimilarRequest"):
        search = components[kind]["properties"]
        search["top_k"] |= {"minimum": 1, "maximum": limits.top_k}
        search["collection"] |= _COLLECTION
        search["filter"] = {"anyOf": [{"$ref": _REFERENCE.format(name="Filter")}, {"type": "null"}], "default": None}
        search["offset"] |= {"minimum": 0, "maximum": limits.top_k}
        search["min_score"] = _or_null("number", -1, 1)
        search["exclude"] |= {"description": "Parts of a hit to leave out. None of them may be in `include`, too."}
    search = components["SearchRequest"]["properties"]
    search["highlight"]["description"] = "Whether each hit has `highlights`."
    for hit in ("SearchHit", "HitPassage"):
        components[hit]["properties"]["highlights"] |= {
            "maxItems": MAX_HIGHLIGHTS,
            "description": "Start and end of each matched word in the text, in code points, the end excluded. "
            f"At most the first {MAX_HIGHLIGHTS}. Absent unless the search asks for it.",
        }
    search["diversity"] |= {"minimum": 0, "maximum": 1}
    field = {"type": "string", "minLength": 1, "maxLength": filters.MAX_FIELD_CHARS}
    search["group_by"] = {"anyOf": [field, {"type": "null"}], "default": None}
    _set_rules_of_similar(components["SimilarRequest"])
    _set_rules_of_modes(components)
    components["SearchBatch"]["properties"]["searches"] |= {"minItems": 1, "maxItems": MAX_SEARCHES}
    ingest = components["IngestRequest"]["properties"]
    ingest["documents"] |= {"minItems": 1, "maxItems": limits.documents}
    ingest["collection"] |= _COLLECTION
    given = components["DocumentInput"]["properties"]
    given["text"] |= {"minLength": 1, "maxLength": limits.text_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    given["id"] = {"anyOf": [_URL_DOCUMENT_ID, {"type": "integer"}, {"type": "null"}], "default": None}
    given["source"] = {"anyOf": [_COLLECTION, {"type": "null"}], "default": None}
    given["hash"] = {"anyOf": [_HASH, {"type": "null"}], "default": None}
    # A hash that is not null needs a source that is not null.
    components["DocumentInput"]["anyOf"] = [
        {"properties": {"hash": {"type": "null"}}},
        {"properties": {"source": {"type": "string"}}, "required": ["source"]},
    ]
    components["SourceList"]["properties"]["documents"]["maxItems"] = MAX_LISTED
    components["SourceEntry"]["properties"] |= {"id": {"anyOf": [_DOCUMENT_ID, {"type": "integer"}]}, "hash": _HASH}
    _forbid_nul(given["metadata"])
    given["metadata"]["description"] = f"At most {limits.metadata_bytes} bytes of JSON."
    patch = components["DocumentPatch"]["properties"]["metadata"]
    _forbid_nul(patch)
    patch["description"] = f"The merged metadata has at most {limits.metadata_bytes} bytes of JSON."
    chunking = components["ChunkingSetting"]["properties"]
    chunking["max_tokens"] = _or_null("integer", MIN_PASSAGE_TOKENS, MAX_PASSAGE_TOKENS)
    chunking["overlap_tokens"] = _or_null("integer", 0, MAX_PASSAGE_TOKENS // 2)
    components["DocumentIds"]["properties"]["ids"] |= _IDS
    filtered = {"$ref": _REFERENCE.format(name="Filter")}
    components["DocumentDeletion"] |= {
        "properties": {"ids": {}, "filter": {}},
        "oneOf": [
            {"properties": {"ids": _IDS, "filter": {"type": "null"}}, "required": ["ids"]},
            {"properties": {"filter": filtered, "ids": {"type": "null"}}, "required": ["filter"]},
        ],
    }
    facets = components["FacetsRequest"]["properties"]
    facets["fields"] |= {"minItems": 1, "maxItems": MAX_FIELDS}
    facets["fields"]["items"] |= {"maxLength": filters.MAX_FIELD_CHARS}
    facets["filter"] = {"anyOf": [filtered, {"type": "null"}], "default": None}
    facets["limit"] |= {"minimum": 1, "maximum": MAX_VALUES}
    change = components["TrafficChange"]["properties"]
    change["canary_weight"] |= {"minimum": 0, "maximum": 100}
    change["shadow_percent"] = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "null"}]}


def _set_rules_of_modes(components: dict[str, Any]) -> None:
    null = {"type": "null"}
    components["SearchRequest"]["allOf"] = [
        {"anyOf": [{"properties": {"fusion": null}}, {"properties": {"mode": {"enum": list(FUSING_MODES)}}}]},
        {"anyOf": [{"properties": {"min_score": null}}, {"properties": {"mode": {"not": {"const": "lexical"}}}}]},
    ]
    fusion = components["FusionInput"]
    fusion["properties"]["k"] |= {"minimum": 1, "maximum": MAX_K}
    fusion["anyOf"] = [
        {"not": {"required": ["k"]}},
        {"required": ["method"], "properties": {"method": {"const": "rrf"}}},
    ]
    weights = components["FusionWeights"]
    for weight in weights["properties"].values():
        weight |= {"minimum": 0, "maximum": MAX_WEIGHT}
    weights["not"] = {"properties": {name: {"const": 0} for name in weights["properties"]}}


def _set_rules_of_similar(similar: Schema) -> None:
    vector = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 1,
        "maxItems": MAX_NUMBERS,
        "description": "As many numbers as the collection's `dim`, and not all of them 0.",
    }
    similar["properties"] |= {"document_id": {}, "vector": {}}
    similar["oneOf"] = [
        {"properties": {"document_id": _DOCUMENT_ID, "vector": {"type": "null"}}, "required": ["document_id"]},
        {"properties": {"vector": vector, "document_id": {"type": "null"}}, "required": ["vector"]},
    ]


def _forbid_nul(schema: Schema) -> None:
    """Forbid U+0000 in the strings of a schema, including those in arrays and objects, and in the names of fields."""
    for choice in schema.get("anyOf", ()):
        _forbid_nul(choice)
    match schema.get("type"):
        case "string":
            schema |= _NO_NUL
        case "array":
            _forbid_nul(schema["items"])
        case "object":
            schema["propertyNames"] = _NO_NUL
            _forbid_nul(schema["additionalProperties"])
