"""Rules that types cannot state; each breach names the field and the limit."""

import hashlib
import re
import secrets
from dataclasses import dataclass

import msgspec

from tandem_contract.client_api import DocumentInput, IngestRequest, SearchRequest
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.model import NewDocument

MAX_ID_CHARS = 256

_COLLECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# NUL as JSON spells it; behind an escaped backslash `u0000` is text like any other.
_JSON_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_compact = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The most that one request may hold."""

    documents: int
    text_chars: int
    metadata_bytes: int
    query_chars: int
    top_k: int


def check_collection(name: str) -> None:
    """Check a collection's name.

    Raises:
        InvalidRequest: unless it is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit.
    """
    if not _COLLECTION_NAME.match(name):
        raise InvalidRequest(
            "collection: 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-' were expected, "
            "the first a letter or a digit",
            param="collection",
        )


def check_document_id(doc_id: str, param: str) -> None:
    """Check a document's id.

    Raises:
        InvalidRequest: if it is empty, longer than ``MAX_ID_CHARS``, or holds control characters.
    """
    if not doc_id or len(doc_id) > MAX_ID_CHARS:
        raise InvalidRequest(
            f"{param}: 1 to {MAX_ID_CHARS} characters were expected, not {len(doc_id)}",
            param=param,
            code="limit_exceeded" if doc_id else "invalid_field",
        )
    if _CONTROL.search(doc_id):
        raise InvalidRequest(f"{param}: control characters are not allowed in an id", param=param)


def check_search(request: SearchRequest, limits: RequestLimits) -> None:
    """Check a search.

    Raises:
        InvalidRequest: names the field and the limit.
    """
    _check_text(request.query, "query", limits.query_chars)
    if not 1 <= request.top_k <= limits.top_k:
        raise InvalidRequest(
            f"top_k: a whole number from 1 to {limits.top_k} was expected, not {request.top_k}",
            param="top_k",
            code="limit_exceeded",
        )
    check_collection(request.collection)


def new_documents(request: IngestRequest, limits: RequestLimits) -> list[NewDocument]:
    """Return the documents of an ingest, checked; one without an id gets a random one.

    Raises:
        InvalidRequest: names the field, with the document's place, and the limit.
    """
    check_collection(request.collection)
    count = len(request.documents)
    if not 1 <= count <= limits.documents:
        raise InvalidRequest(
            f"documents: 1 to {limits.documents} documents were expected, not {count}",
            param="documents",
            code="limit_exceeded" if count else "invalid_field",
        )
    return [_new_document(document, f"documents[{place}]", limits) for place, document in enumerate(request.documents)]


def content_hash(text: str, metadata: str) -> bytes:
    """Return the hash by which repeated content is known: 16 bytes of BLAKE2b over text and canonical metadata."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (text, metadata):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _new_document(document: DocumentInput, place: str, limits: RequestLimits) -> NewDocument:
    _check_text(document.text, f"{place}.text", limits.text_chars)
    if document.id is not None:
        check_document_id(document.id, f"{place}.id")
    metadata = _compact.encode(document.metadata)
    if len(metadata) > limits.metadata_bytes:
        raise InvalidRequest(
            f"{place}.metadata: at most {limits.metadata_bytes} bytes of JSON are allowed, not {len(metadata)}",
            param=f"{place}.metadata",
            code="limit_exceeded",
        )
    if _JSON_NUL.search(metadata):
        raise InvalidRequest(f"{place}.metadata: NUL characters (U+0000) are not allowed", param=f"{place}.metadata")
    return NewDocument(
        doc_id=document.id if document.id is not None else secrets.token_hex(16),
        text=document.text,
        metadata=metadata.decode(),
        content_hash=content_hash(document.text, _canonical.encode(document.metadata).decode()),
    )


def _check_text(text: str, param: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidRequest(
            f"{param}: at most {limit} characters are allowed, not {len(text)}", param=param, code="limit_exceeded"
        )
    if not text or text.isspace():
        raise InvalidRequest(f"{param}: a text that is not empty or only white space was expected", param=param)
    if "\x00" in text:
        raise InvalidRequest(f"{param}: NUL characters (U+0000) are not allowed", param=param)
