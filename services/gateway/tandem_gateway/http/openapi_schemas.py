"""What the types of messages do not express in the OpenAPI document: limits, and patterns of names and texts."""

from typing import Any, Final, get_args

from tandem_contract import client_api as api
from tandem_contract import headers
from tandem_contract.embed import MIN_PASSAGE_TOKENS
from tandem_gateway.access.key_administration import (
    MAX_EQUALITIES,
    MAX_GLOBS,
    MAX_GRACE_SECONDS,
    MAX_NAME_CHARS,
    MAX_NUMBER,
    MAX_SECONDS,
    MAX_VALUE_CHARS,
    NAME_PATTERN,
)
from tandem_gateway.access.key_text import KEY_ID_PATTERN
from tandem_gateway.access.principal import GLOB_PATTERN
from tandem_gateway.analysis.terms import LANGUAGES
from tandem_gateway.filters import parsing as filters
from tandem_gateway.http.positions import POSITION_PATTERN
from tandem_gateway.records.limits import LIMIT_PATTERN, MAX_LIMITS
from tandem_gateway.use_cases.batch_search import MAX_SEARCHES
from tandem_gateway.use_cases.collections import MAX_PASSAGE_TOKENS
from tandem_gateway.use_cases.documents import MAX_IDS, MAX_PAGE
from tandem_gateway.use_cases.embed_request import MAX_TEXTS
from tandem_gateway.use_cases.facets import MAX_FIELDS, MAX_VALUES
from tandem_gateway.use_cases.fusion import FUSING_MODES, MAX_K, MAX_WEIGHT
from tandem_gateway.use_cases.highlighting import MAX_HIGHLIGHTS
from tandem_gateway.use_cases.idempotency import KEY_PATTERN
from tandem_gateway.use_cases.jobs import JOB_ID_PATTERN, MAX_WAIT_SECONDS
from tandem_gateway.use_cases.reembedding import DEFAULT_QUERIES, MAX_QUERIES
from tandem_gateway.use_cases.similar_search import MAX_NUMBERS
from tandem_gateway.use_cases.sources import MAX_LISTED
from tandem_gateway.use_cases.validation import COLLECTION_PATTERN, HASH_PATTERN, MAX_ID_CHARS, RequestLimits

FORM: Final = "FilesForm"
"""Name of the schema of a form with files."""
REFERENCE: Final = "#/components/schemas/{name}"

Schema = dict[str, Any]

COLLECTION: Final = {"type": "string", "pattern": COLLECTION_PATTERN}
# JSON Schema uses the regular expressions of ECMA 262. Their ``\\s`` differs from Python's white space, which is
# therefore spelled out.
_WHITE_SPACE: Final = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_BLANK: Final = f"[^{_WHITE_SPACE}]"
_NO_NUL: Final = {"not": {"pattern": r"\u0000"}}
_NO_CONTROLS: Final = r"^[^\u0000-\u001f\u007f]+$"
_DOT_SEGMENT: Final = r"(^|[/\\]|%2[fF]|%5[cC])(\.|%2[eE]){1,2}($|[/\\]|%2[fF]|%5[cC])"
_DOCUMENT_ID: Final = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS, "pattern": _NO_CONTROLS}
_ID_OR_NUMBER: Final = {"anyOf": [_DOCUMENT_ID, {"type": "integer"}]}
_URL_DOCUMENT_ID: Final = {**_DOCUMENT_ID, "not": {"pattern": _DOT_SEGMENT}}
"""Schema of the id of a new document, or of a document in a path."""
_HASH: Final = {"type": "string", "pattern": HASH_PATTERN}
_IDS: Final = {"type": "array", "items": _ID_OR_NUMBER, "minItems": 1, "maxItems": MAX_IDS}
_JOB_ID: Final = {"type": "string", "pattern": JOB_ID_PATTERN}
_DAY: Final[Schema] = {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
PARAMETERS: Final[dict[tuple[str, str], Schema]] = {
    ("path", "job_id"): _JOB_ID,
    ("path", "collection"): COLLECTION,
    ("path", "source"): COLLECTION,
    ("path", "deployment"): {"type": "string", "minLength": 1},
    ("path", "model"): {"type": "string"},
    ("path", "document_id"): _URL_DOCUMENT_ID,
    ("query", "id"): _DOCUMENT_ID,
    ("query", "filter"): {"type": "string", "maxLength": filters.MAX_BYTES, "contentMediaType": headers.JSON},
    ("query", "wait_seconds"): {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    ("query", "queries"): {"type": "integer", "minimum": 1, "maximum": MAX_QUERIES, "default": DEFAULT_QUERIES},
    ("query", "status"): {"type": "string", "enum": list(get_args(api.JobStatus))},
    ("query", "from"): _DAY,
    ("query", "to"): _DAY,
    ("query", "key"): {"type": "string", "minLength": 1, "maxLength": 256},
    ("query", "collection"): COLLECTION,
    ("query", "on_error"): {"type": "string", "enum": list(get_args(api.OnError))},
    ("query", "limit"): {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
    ("query", "cursor"): {"type": "string", "maxLength": 4096},
    ("path", "key_id"): {"type": "string", "pattern": KEY_ID_PATTERN},
    ("query", "grace_seconds"): {"type": "integer", "minimum": 0, "maximum": MAX_GRACE_SECONDS, "default": 0},
    ("header", headers.IDEMPOTENCY_KEY): {"type": "string", "pattern": KEY_PATTERN},
    ("header", headers.POSITION): {"type": "string", "pattern": POSITION_PATTERN},
    ("header", headers.FILENAME): {"type": "string", "maxLength": headers.MAX_FILENAME_BYTES},
}
PARAMETERS_OF_OPERATION: Final[dict[tuple[str, str], Schema]] = {
    ("list_job_documents", "status"): {"type": "string", "enum": list(get_args(api.JobDocumentStatus))},
}
"""Operation and name of a query parameter that has another schema than the others of its name."""


def _or_null(kind: str, minimum: int, maximum: int) -> Schema:
    number = {"type": kind, "minimum": minimum, "maximum": maximum}
    return {"anyOf": [number, {"type": "null"}], "default": None}


def set_limits(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the rules that the types do not express: the configured limits, and the patterns of names and texts."""
    query = components["SearchRequest"]["properties"]["query"]
    query |= {"minLength": 1, "maxLength": limits.query_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    for kind in ("SearchRequest", "SimilarRequest"):
        search = components[kind]["properties"]
        search["top_k"] |= {"minimum": 1, "maximum": limits.top_k}
        search["collection"] |= COLLECTION
        search["filter"] = {"anyOf": [{"$ref": REFERENCE.format(name="Filter")}, {"type": "null"}], "default": None}
        search["offset"] |= {"minimum": 0, "maximum": limits.top_k}
        search["min_score"] = _or_null("number", -1, 1)
        search["diversity"] |= {"minimum": 0, "maximum": 1}
        field = {"type": "string", "minLength": 1, "maxLength": filters.MAX_FIELD_CHARS}
        search["group_by"] = {"anyOf": [field, {"type": "null"}], "default": None}
        search["exclude"] |= {"description": "Parts of a hit to leave out. None of them may be in `include`, too."}
    search = components["SearchRequest"]["properties"]
    search["highlight"]["description"] = "Whether each hit has `highlights`."
    for hit in ("SearchHit", "HitPassage"):
        components[hit]["properties"]["highlights"] |= {
            "maxItems": MAX_HIGHLIGHTS,
            "description": "Start and end of each matched word in the text, in code points, the end excluded. "
            f"At most the first {MAX_HIGHLIGHTS}. Absent unless the search asks for it.",
        }
        # maxItems says the same as this ``False``, which generators of clients refuse.
        del components[hit]["properties"]["highlights"]["items"]["items"]
    _set_rules_of_similar(components["SimilarRequest"])
    _set_rules_of_modes(components)
    components["SearchBatch"]["properties"]["searches"] |= {"minItems": 1, "maxItems": MAX_SEARCHES}
    ingest = components["IngestRequest"]["properties"]
    ingest["documents"] |= {"minItems": 1, "maxItems": limits.documents}
    ingest["collection"] |= COLLECTION
    given = components["DocumentInput"]["properties"]
    given["text"] |= {"minLength": 1, "maxLength": limits.text_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    given["id"] = {"anyOf": [_URL_DOCUMENT_ID, {"type": "integer"}, {"type": "null"}], "default": None}
    given["source"] = {"anyOf": [COLLECTION, {"type": "null"}], "default": None}
    given["hash"] = {"anyOf": [_HASH, {"type": "null"}], "default": None}
    # A hash that is not null needs a source that is not null.
    either = [
        {"properties": {"hash": {"type": "null"}}},
        {"properties": {"source": {"type": "string"}}, "required": ["source"]},
    ]
    _require(components["DocumentInput"], anyOf=either)
    components["SourceList"]["properties"]["documents"]["maxItems"] = MAX_LISTED
    components["SourceEntry"]["properties"] |= {"id": _ID_OR_NUMBER, "hash": _HASH}
    _forbid_nul(given["metadata"])
    given["metadata"]["description"] = f"At most {limits.metadata_bytes} bytes of JSON."
    patch = components["DocumentPatch"]["properties"]["metadata"]
    _forbid_nul(patch)
    patch["description"] = f"The merged metadata has at most {limits.metadata_bytes} bytes of JSON."
    _set_rules_of_settings(components)
    components["DocumentIds"]["properties"]["ids"] |= _IDS
    filtered = {"$ref": REFERENCE.format(name="Filter")}
    _exclude_each_other(components["DocumentDeletion"], ids=_IDS, filter=filtered)
    facets = components["FacetsRequest"]["properties"]
    facets["fields"] |= {"minItems": 1, "maxItems": MAX_FIELDS}
    facets["fields"]["items"] |= {"maxLength": filters.MAX_FIELD_CHARS}
    facets["filter"] = {"anyOf": [filtered, {"type": "null"}], "default": None}
    facets["limit"] |= {"minimum": 1, "maximum": MAX_VALUES}
    change = components["TrafficChange"]["properties"]
    change["canary_weight"] |= {"minimum": 0, "maximum": 100}
    change["shadow_percent"] = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "null"}]}

    _set_rules_of_keys(components["KeyRequest"])


def set_limits_of_compatible(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the limits of the messages of compatible routes, after ``set_limits``."""
    search = components["WebSearchRequest"]["properties"]
    search["query"] |= components["SearchRequest"]["properties"]["query"]
    search["count"] |= {"minimum": 1, "maximum": limits.top_k}


def _set_rules_of_keys(request: Schema) -> None:
    key = request["properties"]
    key["name"] |= {"minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NAME_PATTERN}
    glob = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": GLOB_PATTERN}
    key["collections"] |= {"minItems": 1, "maxItems": MAX_GLOBS, "items": glob}
    key["expires_in_seconds"] = _or_null("integer", 1, MAX_SECONDS)
    limits = {"type": "array", "maxItems": MAX_LIMITS, "items": {"type": "string", "pattern": LIMIT_PATTERN}}
    key["limits"] = {"anyOf": [limits, {"type": "null"}], "default": None}
    value = [
        {"type": "string", "maxLength": MAX_VALUE_CHARS, **_NO_NUL},
        {"type": "integer", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
        {"type": "boolean"},
    ]
    fields: Schema = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": MAX_EQUALITIES,
        "propertyNames": {"minLength": 1, "maxLength": filters.MAX_FIELD_CHARS, "pattern": r"^[^$\u0000][^\u0000]*$"},
        "additionalProperties": {"anyOf": value},
    }
    key["filter"] = {"anyOf": [fields, {"type": "null"}], "default": None}
    either = [
        {"properties": {"filter": {"type": "null"}}},
        {"properties": {"role": {"enum": ["search", "ingest"]}}},
    ]
    _require(request, anyOf=either)


def set_limits_of_rerank(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the limits of requests to rerank, as ``set_limits`` does."""
    components["RerankInput"]["properties"]["top_n"] |= {"minimum": 1, "maximum": limits.rerank_documents}
    text = {"type": "string", "minLength": 1, "maxLength": limits.text_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    components["RerankDocument"]["properties"]["text"] |= text
    for kind, name in (("RerankRequest", "documents"), ("TeiRerankRequest", "texts")):
        asked = components[kind]["properties"]
        asked["query"] |= {"minLength": 1, "maxLength": limits.query_chars, "pattern": _NOT_BLANK, **_NO_NUL}
        asked[name] |= {"minItems": 1, "maxItems": limits.rerank_documents}
    components["TeiRerankRequest"]["properties"]["texts"]["items"] = text
    asked = components["RerankRequest"]["properties"]
    asked["documents"]["items"] = {"anyOf": [text, {"$ref": REFERENCE.format(name="RerankDocument")}]}
    asked["top_n"] = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None}


def _set_rules_of_modes(components: dict[str, Any]) -> None:
    null = {"type": "null"}
    components["SearchRequest"]["allOf"] = [
        {"anyOf": [{"properties": {"fusion": null}}, {"properties": {"mode": {"enum": list(FUSING_MODES)}}}]},
        {"anyOf": [{"properties": {"min_score": null}}, {"properties": {"mode": {"not": {"const": "lexical"}}}}]},
    ]
    fusion = components["FusionInput"]
    fusion["properties"]["k"] |= {"minimum": 1, "maximum": MAX_K}
    either = [
        {"not": {"required": ["k"]}},
        {"required": ["method"], "properties": {"method": {"const": "rrf"}}},
    ]
    _require(fusion, anyOf=either)
    weights = components["FusionWeights"]
    for weight in weights["properties"].values():
        weight |= {"minimum": 0, "maximum": MAX_WEIGHT}
    weights["not"] = {"properties": {name: {"const": 0} for name in weights["properties"]}}


def set_limits_of_embeddings(components: dict[str, Any], limits: RequestLimits) -> None:
    """Add the rules of requests for vectors, as ``set_limits`` does."""
    text = {"type": "string", "minLength": 1, "maxLength": limits.text_chars, "pattern": _NOT_BLANK, **_NO_NUL}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": MAX_TEXTS}
    of_openai = components["EmbeddingsRequest"]["properties"]
    of_openai["input"] = {"anyOf": [text, texts], "description": f"One text, or 1 to {MAX_TEXTS} texts."}
    components["OllamaEmbedRequest"]["properties"]["input"] = of_openai["input"]
    components["OllamaPromptRequest"]["properties"]["prompt"] = text
    of_tei = components["TeiEmbedRequest"]["properties"]
    null = {"type": "null"}
    of_tei |= {  # no ``enum``: generators of clients refuse one of booleans, or of names that differ in case alone
        "inputs": of_openai["input"],
        "normalize": {"anyOf": [{"type": "boolean", "not": {"const": False}}, null], "default": None},
        "truncation_direction": {"anyOf": [{"type": "string", "pattern": "^[Rr]ight$"}, null], "default": None},
        "prompt_name": {**null, "default": None},
    }
    # No schema can say which number the model's vectors have.
    of_openai["dimensions"]["description"] = "The dimension of the model's vectors, or fewer with TANDEM_MATRYOSHKA."


def _set_rules_of_settings(components: dict[str, Any]) -> None:
    chunking = components["ChunkingSetting"]["properties"]
    chunking["max_tokens"] = _or_null("integer", MIN_PASSAGE_TOKENS, MAX_PASSAGE_TOKENS)
    chunking["overlap_tokens"] = _or_null("integer", 0, MAX_PASSAGE_TOKENS // 2)
    components["CollectionSettings"]["properties"]["language"] |= {"enum": list(LANGUAGES)}


def _set_rules_of_similar(similar: Schema) -> None:
    vector = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 1,
        "maxItems": MAX_NUMBERS,
        "description": "As many numbers as the collection's `dim`, and not all of them 0.",
    }
    _exclude_each_other(similar, document_id=_ID_OR_NUMBER, vector=vector)


def _exclude_each_other(schema: Schema, **fields: Schema) -> None:
    """Require exactly one of two fields; null is the same as absent."""
    null = {"type": "null"}
    for name, of_field in fields.items():
        described = schema["properties"][name].get("description") or of_field.get("description")
        field: Schema = {"anyOf": [of_field, null], "default": None}
        schema["properties"][name] = field | ({"description": described} if described else {})
    names = list(fields)
    either = [
        {"properties": {one: fields[one], other: null}, "required": [one]} for one, other in (names, reversed(names))
    ]
    _require(schema, oneOf=either)


def _require(schema: Schema, **either: Any) -> None:
    """Add alternatives beside the schema's properties.

    They are inside ``allOf``: generators of clients drop the ``properties`` that are beside ``anyOf`` or ``oneOf``.
    """
    schema["allOf"] = [*schema.get("allOf", ()), either]


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
