"""Validation rules that types cannot express. Each error names the field and the limit."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.parsing import MAX_FIELD_CHARS
from tandem_gateway.records.chunking import TextFormat
from tandem_gateway.records.documents import NewDocument
from tandem_gateway.use_cases.commands import RerankChoice, SearchCommand, SubmittedDocument
from tandem_gateway.use_cases.document_ids import new_document_id

MAX_ID_CHARS = 256
COLLECTION_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Pattern of a collection's name, in the syntax of JSON Schema."""

_COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
MAX_HASH_CHARS: Final = 128
HASH_PATTERN: Final = f"^[!-~]{{1,{MAX_HASH_CHARS}}}$"
"""Pattern of a client's hash of a document, in the syntax of JSON Schema."""
_HASH = re.compile(rf"[!-~]{{1,{MAX_HASH_CHARS}}}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# hashlib releases the interpreter's lock for 2,048 bytes and more. The few microseconds of such a hash are too short
# for another thread to take the lock, and each release restarts that thread's timeout: a thread that hashes many
# documents would lock the event loop out until it ends.
_HASHED_AT_ONCE: Final = 2047
_compact = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Maximum sizes and counts of one request."""

    documents: int
    text_chars: int
    metadata_bytes: int
    query_chars: int
    top_k: int
    files: int = 100
    rerank_documents: int = 1000


def check_collection(name: str) -> None:
    """Check a collection's name.

    Raises:
        InvalidRequest: the name is not 1 to 64 characters of A-Z a-z 0-9 . _ - that begin with a letter or digit.
    """
    if not _COLLECTION_NAME.match(name):
        raise InvalidRequest(
            "collection: 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-' were expected, "
            "the first a letter or a digit",
            param="collection",
        )


def check_source(source: str, param: str) -> None:
    """Check the name of a source.

    Raises:
        InvalidRequest: it has not the form of a collection's name.
    """
    if not _COLLECTION_NAME.match(source):
        raise InvalidRequest(
            f"{param}: 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-' were expected, "
            "the first a letter or a digit",
            param=param,
        )


def check_source_hash(given: str, param: str) -> None:
    """Check a client's hash of a document.

    Raises:
        InvalidRequest: it is not 1 to ``MAX_HASH_CHARS`` visible ASCII characters.
    """
    if not _HASH.match(given):
        raise InvalidRequest(
            f"{param}: 1 to {MAX_HASH_CHARS} visible ASCII characters were expected",
            param=param,
            code="limit_exceeded" if len(given) > MAX_HASH_CHARS else "invalid_field",
        )


def check_new_document_id(doc_id: str, param: str) -> None:
    """Check the id of a new document.

    An id is also part of a URL's path. Clients and proxies remove the segments ``.`` and ``..`` from a path before
    they forward it (RFC 3986, section 5.2.4). A request for such an id would reach another resource.

    Raises:
        InvalidRequest: as in ``check_document_id``, and for an id with such a segment.
    """
    check_document_id(doc_id, param)
    if has_dot_segment(doc_id):
        raise InvalidRequest(
            f"{param}: '.' and '..' are not allowed between slashes or as a whole id: "
            "clients and proxies remove them from a URL",
            param=param,
        )


def has_dot_segment(doc_id: str) -> bool:
    """Return whether the id has a ``.`` or ``..`` segment; backslashes and percent-encoded characters count as well."""
    plain = doc_id.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/")
    return any(segment in (".", "..") for segment in plain.split("/"))


def check_document_id(doc_id: str, param: str) -> None:
    """Check the id of a document to look up.

    Raises:
        InvalidRequest: the id is empty, longer than ``MAX_ID_CHARS``, or has control characters.
    """
    if not doc_id or len(doc_id) > MAX_ID_CHARS:
        raise InvalidRequest(
            f"{param}: 1 to {MAX_ID_CHARS} characters were expected, not {len(doc_id)}",
            param=param,
            code="limit_exceeded" if doc_id else "invalid_field",
        )
    if _CONTROL.search(doc_id):
        raise InvalidRequest(f"{param}: control characters are not allowed in an id", param=param)


def check_rerank_choice(choice: RerankChoice, limits: RequestLimits) -> None:
    """Check how a search is to be reranked.

    Raises:
        InvalidRequest: the number of documents is out of its range.
    """
    if not 1 <= choice.top_n <= limits.rerank_documents:
        raise InvalidRequest(
            f"rerank.top_n: a whole number from 1 to {limits.rerank_documents} was expected, not {choice.top_n} "
            "(TANDEM_MAX_RERANK_DOCUMENTS)",
            param="rerank.top_n",
            code="limit_exceeded",
        )


def check_search(command: SearchCommand, limits: RequestLimits) -> None:
    """Check a search.

    Raises:
        InvalidRequest: a field is not valid; the error names the field and the limit.
    """
    _check_text(command.query, "query", limits.query_chars)
    if command.rerank is not None:
        check_rerank_choice(command.rerank, limits)
    check_page(command, limits)


def check_page(command: SearchCommand, limits: RequestLimits) -> None:
    """Check all of a search but its query; raises as ``check_search``."""
    if not 1 <= command.top_k <= limits.top_k:
        raise InvalidRequest(
            f"top_k: a whole number from 1 to {limits.top_k} was expected, not {command.top_k}",
            param="top_k",
            code="limit_exceeded",
        )
    if not 0 <= command.offset <= limits.top_k:
        raise InvalidRequest(
            f"offset: a whole number from 0 to {limits.top_k} was expected, not {command.offset}",
            param="offset",
            code="limit_exceeded",
        )
    if command.min_score is not None:
        if not -1 <= command.min_score <= 1:
            raise InvalidRequest(
                f"min_score: a number from -1 to 1 was expected, not {command.min_score:g}",
                param="min_score",
                code="limit_exceeded",
            )
        if command.mode == "lexical":
            raise InvalidRequest(
                "min_score: the mode 'lexical' has no cosine similarity; hybrid, dense and auto do", param="min_score"
            )
    check_collection(command.collection)
    if not 0 <= command.diversity <= 1:
        raise InvalidRequest(
            f"diversity: a number from 0 to 1 was expected, not {command.diversity:g}",
            param="diversity",
            code="limit_exceeded",
        )
    if command.group_by is not None and not 1 <= len(command.group_by) <= MAX_FIELD_CHARS:
        raise InvalidRequest(
            f"group_by: the name of a field, of 1 to {MAX_FIELD_CHARS} characters, was expected, "
            f"not {len(command.group_by)}",
            param="group_by",
            code="limit_exceeded",
        )
    if command.include and command.exclude and (both := command.include & command.exclude):
        raise InvalidRequest(f"exclude: {min(both)!r} is in include, too; name it in one of the two", param="exclude")


def check_count(count: int, limits: RequestLimits) -> None:
    """Check the number of documents in an ingest.

    Raises:
        InvalidRequest: there is no document, or there are more than allowed.
    """
    if count > limits.documents:
        raise InvalidRequest(
            f"documents: 1 to {limits.documents} documents are allowed in one request, and there are more",
            param="documents",
            code="limit_exceeded",
        )
    if count < 1:
        raise InvalidRequest(f"documents: 1 to {limits.documents} documents were expected, not 0", param="documents")


def content_hash(text: str, metadata: bytes, text_format: TextFormat = "text") -> bytes:
    """Return the hash that identifies unchanged content: 16 bytes of BLAKE2b.

    It is over the text, the canonical metadata and, unless it is plain text, the format.
    """
    digest = hashlib.blake2b(digest_size=16)
    for data in (text.encode(), metadata) if text_format == "text" else (text.encode(), metadata, text_format.encode()):
        digest.update(len(data).to_bytes(8, "little"))
        for begin in range(0, len(data), _HASHED_AT_ONCE):
            digest.update(data[begin : begin + _HASHED_AT_ONCE])
    return digest.digest()


def new_document(document: SubmittedDocument, place: str, limits: RequestLimits) -> NewDocument:
    """Validate a document of an ingest and return it; a document without an id gets a random one.

    Args:
        document: the document as submitted.
        place: path of the document in the request, such as ``documents[3]``.
        limits: limits of a request.

    Raises:
        InvalidRequest: a field is not valid; the error names the field and the limit.
    """
    _check_text(document.text, f"{place}.text", limits.text_chars)
    if document.doc_id is not None:
        check_new_document_id(document.doc_id, f"{place}.id")
    if document.source is not None:
        check_source(document.source, f"{place}.source")
    if document.source_hash is not None:
        check_source_hash(document.source_hash, f"{place}.hash")
        if document.source is None:
            raise InvalidRequest(f"{place}.hash: is for a document with a source only", param=f"{place}.hash")
    return as_new_document(document, f"{place}.metadata", limits)


def as_new_document(document: SubmittedDocument, param: str, limits: RequestLimits) -> NewDocument:
    """Return a document whose text and id are valid already; validate its metadata.

    Args:
        document: the document; one without an id gets a random one.
        param: path of the metadata in the request.
        limits: limits of a request.

    Raises:
        InvalidRequest: the metadata is too large, or has a NUL character.
    """
    stored = document.metadata if document.exact_metadata is None else document.exact_metadata
    metadata = _compact.encode(stored)
    if len(metadata) > limits.metadata_bytes:
        raise InvalidRequest(
            f"{param}: at most {limits.metadata_bytes} bytes of JSON are allowed, not {len(metadata)}",
            param=param,
            code="limit_exceeded",
        )
    if b"\\u0000" in metadata and _has_nul(document.metadata):
        raise InvalidRequest(f"{param}: NUL characters (U+0000) are not allowed", param=param)
    return NewDocument(
        doc_id=document.doc_id if document.doc_id is not None else new_document_id(),
        text=document.text,
        metadata=metadata.decode(),
        content_hash=content_hash(document.text, _canonical.encode(stored), document.format),
        given_id=document.doc_id is not None,
        format=document.format,
        source=document.source,
        source_hash=document.source_hash,
    )


def _has_nul(value: object) -> bool:
    """Return whether a text in the value, or a key of an object in it, has a NUL character."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or _has_nul(each) for key, each in value.items())
        case list():
            return any(map(_has_nul, value))
    return False


def _check_text(text: str, param: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidRequest(
            f"{param}: at most {limit} characters are allowed, not {len(text)}", param=param, code="limit_exceeded"
        )
    if not text or text.isspace():
        raise InvalidRequest(f"{param}: a text that is not empty or only white space was expected", param=param)
    if "\x00" in text:
        raise InvalidRequest(f"{param}: NUL characters (U+0000) are not allowed", param=param)
