"""What clients and language models read about the tools: names, descriptions and JSON Schemas."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tandem_contract.client_api.common import DEFAULT_COLLECTION
from tandem_gateway.filters.parsing import MAX_BYTES, MAX_CONDITIONS
from tandem_gateway.http.mcp.messages import (
    DEFAULT_HITS,
    DEFAULT_TOKENS,
    MAX_FETCHED,
    MAX_TOKENS,
    MIN_TOKENS,
    CollectionsResult,
    ManyResult,
    OneResult,
    SearchResult,
)
from tandem_gateway.use_cases.validation import COLLECTION_PATTERN, MAX_ID_CHARS, RequestLimits

INSTRUCTIONS: Final = (
    "Searches the documents of this Tandem gateway by meaning and by words. Call list_collections if you do not know "
    "the collection. Call search for passages, and fetch with the id of a result for more of its document. Cite by "
    "title and url; start and end are the offsets of the text in its document."
)

Schema = dict[str, Any]

_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS}
_COLLECTION: Final[Schema] = {
    "type": "string",
    "pattern": COLLECTION_PATTERN,
    "default": DEFAULT_COLLECTION,
    "description": "Name of the collection.",
}
_TOKENS: Final[Schema] = {
    "type": "integer",
    "minimum": MIN_TOKENS,
    "maximum": MAX_TOKENS,
    "default": DEFAULT_TOKENS,
    "description": "Most tokens of the answer, estimated on the safe side. The answer tells what had no room.",
}
_FILTER: Final[Schema] = {
    "type": "object",
    "description": 'Conditions on the metadata, such as {"year": {"$gte": 2020}, "lang": "en"}. Operators: $eq, $ne, '
    "$gt, $gte, $lt, $lte, $in, $nin, $exists, and $and, $or, $not to combine. At most "
    f"{MAX_CONDITIONS} conditions and {MAX_BYTES} bytes.",
}


class Description(NamedTuple):
    """A tool as clients see it."""

    name: str
    title: str
    description: str
    input_schema: Schema
    output_schema: Schema


def descriptions(limits: RequestLimits) -> list[Description]:
    """Return the tools.

    Args:
        limits: the limits of queries in force.
    """
    return [
        Description(
            "search",
            "Search documents",
            "Find the passages of documents that answer a query, by meaning and by words. Each has the id of its "
            "document, for fetch, and title, url, source and offsets, for a citation.",
            _arguments(
                {
                    "query": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": limits.query_chars,
                        "description": "A question or words. In quotation marks: an exact phrase; -word: without it.",
                    },
                    "collection": _COLLECTION,
                    "top_k": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": limits.top_k,
                        "default": DEFAULT_HITS,
                        "description": "Most results.",
                    },
                    "mode": {
                        "type": "string",
                        "enum": ["auto", "hybrid", "dense", "lexical"],
                        "default": "auto",
                        "description": "dense: by meaning; lexical: by words; hybrid: both; auto: both if both can.",
                    },
                    "filter": _FILTER,
                    "max_tokens": _TOKENS,
                },
                ["query"],
            ),
            _results([SearchResult]),
        ),
        Description(
            "fetch",
            "Fetch documents",
            "Return a document by id, or a part of it from start to end, or several by ids. If the text has no room, "
            "next_start tells where to go on.",
            _arguments(
                {
                    "id": {**_ID, "description": "Id of a document; either id or ids is required."},
                    "ids": {
                        "type": "array",
                        "items": _ID,
                        "minItems": 1,
                        "maxItems": MAX_FETCHED,
                        "description": "Ids of several documents.",
                    },
                    "collection": _COLLECTION,
                    "start": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Offset of the first character, with id; such as a result's start.",
                    },
                    "end": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "Offset after the last character, with id; such as a result's end.",
                    },
                    "max_tokens": _TOKENS,
                },
                [],
            ),
            _results([OneResult, ManyResult]),
        ),
        Description(
            "list_collections",
            "List collections",
            "Return the names of the collections with the numbers of their documents.",
            _arguments({"max_tokens": _TOKENS}, []),
            _results([CollectionsResult]),
        ),
    ]


def _arguments(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _results(kinds: Sequence[type[msgspec.Struct]]) -> Schema:
    """Return the schema of a result of one of some types; the protocol asks for an object without a reference."""
    (schemas, parts) = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    named = {schema["$ref"].rsplit("/", 1)[1]: schema for schema in schemas}
    own = [parts.pop(name) for name in named]
    made: Schema = {"type": "object", **({"$defs": parts} if parts else {})}
    return {**made, "anyOf": own} if len(own) > 1 else {**own[0], **made}
