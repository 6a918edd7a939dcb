"""Reads the documents of an ingest, each from its own JSON; leaves out those that are not valid, if it may."""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from tandem_contract.decoding import Body, InvalidMessage, cut, decode_json
from tandem_contract.embed import TextFormat
from tandem_contract.errors import ErrorCode
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.metadata_json import read_metadata
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.use_cases.commands import SubmittedDocument
from tandem_gateway.use_cases.validation import (
    MAX_ID_CHARS,
    RequestLimits,
    check_count,
    check_new_document_id,
    new_document,
)
from tandem_runtime.memory import memory_bytes

# A character takes at most twelve bytes of JSON: the two escapes of a surrogate pair.
_BYTES_PER_CHARACTER: Final = 12
# Bytes of a document's JSON for names, punctuation and white space.
_OVERHEAD_BYTES: Final = 16 << 10
# Estimated size of the Python objects around a document's values.
_OBJECT_BYTES: Final = 500
_HOLD_EVERY: Final = 64
_HASH_BYTES: Final = 16
_MESSAGE_CHARS: Final = 500
# See ``validation.content_hash``: a longer piece would release the interpreter's lock.
_HASHED_AT_ONCE: Final = 2047

Hold = Callable[[int], None]
"""Called with the number of bytes that the documents read so far take; may raise OverBudget."""


class DocumentMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``DocumentInput`` with its metadata still as JSON, so that numbers can be stored exactly as sent."""

    text: str
    id: str | int | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    format: TextFormat = "text"
    source: str | None = None
    hash: str | None = None


class _Named(msgspec.Struct, frozen=True):
    """What is read of a document that is not valid."""

    id: str | int | None = None


_document = msgspec.json.Decoder(DocumentMessage)
_named = msgspec.json.Decoder(_Named)


class DocumentReader:
    """Reads the documents of one ingest, one after the other."""

    def __init__(self, limits: RequestLimits, hold: Hold, *, skip: bool = False, lines: bool = False) -> None:
        """Make the reader.

        Args:
            limits: limits of a request.
            hold: see ``Hold``.
            skip: leave out documents that are not valid.
            lines: each document is a message of its own, so that one that is no JSON says nothing of the others.
        """
        self._limits = limits
        self._hold = hold
        self._lines = lines
        self._held = 0
        self._most = _BYTES_PER_CHARACTER * (limits.text_chars + MAX_ID_CHARS + limits.metadata_bytes) + _OVERHEAD_BYTES
        self._documents: list[NewDocument] = []
        self._skipped: list[SkippedDocument] | None = [] if skip else None
        self._first_code: ErrorCode | None = None
        self.count = 0
        """Number of documents read so far, valid or not."""

    def add(self, element: Body) -> None:
        """Read the next document.

        Raises:
            InvalidMessage, InvalidRequest: it is not valid, and none may be skipped; or it is no JSON, and not a line.
            OverBudget: the documents take more memory than the budget has left.
        """
        place, index = f"documents[{self.count}]", self.count
        self.count += 1
        try:
            document = self._read(element, place)
        except (InvalidMessage, InvalidRequest) as error:
            if self._skipped is None or (error.code == "malformed_body" and not self._lines):
                raise
            skipped = SkippedDocument(
                index,
                None if len(element) > self._most else _id_of(element, place),
                error.param or place,
                cut(str(error), _MESSAGE_CHARS),
                _hash_of(element),
            )
            self._skipped.append(skipped)
            self._first_code = self._first_code or error.code
            self._take(bytes_of_skipped(skipped), index)
            return
        self._documents.append(document)
        self._take(bytes_of(document), index)

    def documents(self) -> NewDocuments:
        """Return the valid documents, with those that were skipped.

        Raises:
            InvalidRequest: there is no document, or none is valid.
        """
        check_count(self.count, self._limits)
        if not self._documents and self._skipped and self._first_code:
            first = self._skipped[0]
            message = f"{first.message} (and no other document is valid)" if self.count > 1 else first.message
            raise InvalidRequest(message, param=first.param, code=self._first_code)
        return NewDocuments(self._documents, skipped=self._skipped)

    def _read(self, element: Body, place: str) -> NewDocument:
        if len(element) > self._most:
            raise InvalidRequest(
                f"{place}: has {len(element)} bytes of JSON, at most {self._most} are allowed, for at most "
                f"{self._limits.text_chars} characters of text and {self._limits.metadata_bytes} bytes of metadata",
                param=place,
                code="limit_exceeded",
            )
        return document_of(decode_json(element, _document, at=place), place, self._limits)

    def _take(self, size: int, index: int) -> None:
        self._held += size
        if index % _HOLD_EVERY == 0:
            self._hold(self._held)


def read_document(element: Body, place: str, limits: RequestLimits) -> NewDocument:
    """Return a document from its JSON; raises as ``document_of`` does."""
    return document_of(decode_json(element, _document, at=place), place, limits)


def document_of(message: DocumentMessage, place: str, limits: RequestLimits) -> NewDocument:
    """Return the document of a message; raises InvalidMessage or InvalidRequest, which name ``place`` and the field."""
    doc_id = str(message.id) if isinstance(message.id, int) else message.id
    metadata, exact = read_metadata(bytes(message.metadata), f"{place}.metadata")
    submitted = SubmittedDocument(message.text, doc_id, metadata, exact, message.format, message.source, message.hash)
    return new_document(submitted, place, limits)


def bytes_of(document: NewDocument) -> int:
    """Return the memory that a document takes."""
    return memory_bytes(document.text) + memory_bytes(document.metadata) + _OBJECT_BYTES


def bytes_of_skipped(document: SkippedDocument) -> int:
    """Return the memory that the record of a skipped document takes."""
    return memory_bytes(document.message) + _OBJECT_BYTES


def _id_of(element: Body, place: str) -> str | None:
    """Return the id of a document that is not valid; None if it has none that is."""
    try:
        found = decode_json(element, _named, at=place).id
        if found is not None:
            check_new_document_id(str(found), place)
    except (InvalidMessage, InvalidRequest):
        return None
    return None if found is None else str(found)


def _hash_of(element: Body) -> bytes:
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    element = element.strip(b" \t\r\n")
    for begin in range(0, len(element), _HASHED_AT_ONCE):
        digest.update(element[begin : begin + _HASHED_AT_ONCE])
    return digest.digest()
