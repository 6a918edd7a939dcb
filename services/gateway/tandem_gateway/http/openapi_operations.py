"""What the handlers tell the OpenAPI document: bodies with examples, query parameters, statuses of errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Encoding,
    Example,
    OpenAPIMediaType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
)
from litestar.openapi.spec import Schema as LitestarSchema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from tandem_contract import headers
from tandem_contract.compatible.ollama import OllamaError
from tandem_contract.compatible.tei import TeiError
from tandem_contract.errors import ErrorReply
from tandem_gateway.http.openapi_schemas import FORM, REFERENCE
from tandem_runtime.replies import STATUS

EVENT_STREAM: Final = "text/event-stream"
OPERATOR: Final = "operator"
"""Name of the security scheme of the token for the operators' routes."""
KEY: Final = "key"
"""Name of the security scheme of an API key as a bearer token."""
KEY_HEADER: Final = "key_header"
"""Name of the security scheme of an API key in the header ``api-key``."""

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
SEARCH_PARAMETERS: Final = (
    Parameter(
        name=headers.POSITION,
        param_in="header",
        required=False,
        description="The value that a reply had in this header: a search with the consistency `session` finds all that "
        "the reply told of.",
        schema=LitestarSchema(type=OpenAPIType.STRING),
    ),
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
        schema=LitestarSchema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="One DocumentInput a line."
        ),
        examples={"two": Example(summary="Two documents", value=_LINES)},
    )
}
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
    "german": ("Find other forms of German words", {"language": "german"}),
    "whole": ("Embed each text as a whole, cut at the model's limit", {"chunking": None}),
}
WEB_SEARCH_EXAMPLES: Final[Examples] = {
    "three": ("Three results", {"query": "a pet on a rug", "count": 3}),
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
KEY_EXAMPLES: Final[Examples] = {
    "search": ("A key that searches some collections", {"name": "shop", "role": "search", "collections": ["shop-*"]}),
    "tenant": ("A key for the documents of a tenant", {"name": "a", "role": "ingest", "filter": {"tenant": "a"}}),
}
TRAFFIC_EXAMPLES: Final[Examples] = {
    "canary": (
        "5 % of the calls to the canary, and a copy of 10 % of the queries",
        {"canary_weight": 5, "shadow_percent": 10},
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


def refusals(*statuses: int, shape: type[msgspec.Struct] = ErrorReply) -> dict[int, ResponseSpec]:
    """Return the statuses of a route's errors, for its ``responses``; Litestar's ``raises`` documents another shape."""
    return {
        status: ResponseSpec(shape, generate_examples=False, description=_error_codes(status)) for status in statuses
    }


def ollama_refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the statuses of the errors of a route of Ollama's API."""
    return _refusals(OllamaError, statuses)


def tei_refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the statuses of the errors of a route of the API of Text Embeddings Inference."""
    return _refusals(TeiError, statuses)


def _refusals(kind: type[msgspec.Struct], statuses: Sequence[int]) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(kind, generate_examples=False, description="Error")  # these clients read no code
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
            schema = Reference(ref=REFERENCE.format(name=kind.__name__))
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
            schema=Reference(ref=REFERENCE.format(name=FORM)),
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
class RotationByQuery(Operation):
    """The rotation of a key, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameter."""
        grace = _optional("grace_seconds", "Seconds for which the present text of the key works beside the new one.")
        self.parameters = [*(self.parameters or []), grace]


@dataclass
class UsageByQuery(Operation):
    """The usage of keys, whose handler reads the query strictly."""

    def __post_init__(self) -> None:
        """Add the parameters."""
        self.parameters = [
            *(self.parameters or []),
            _optional("from", "First day, in UTC. It must not be after 'to', which is the default."),
            _optional("to", "Last day, in UTC; today by default."),
            _optional("key", "Id of one key; all keys by default."),
        ]


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
