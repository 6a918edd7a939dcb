"""Reads the body of an ingest: JSON or JSON lines in, validated documents out.

The event loop decodes a small body as a whole. A thread reads a large body document by document. msgspec holds the GIL
while it decodes, so one call for 16 MiB would block the event loop for its whole duration.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_contract.decoding import Body, InvalidMessage, decode_json
from tandem_contract.embed import TextFormat
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest
from tandem_gateway.http.ingest_content import Content, decompressed
from tandem_gateway.http.metadata_json import read_metadata
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.use_cases.commands import SubmittedDocument
from tandem_gateway.use_cases.validation import MAX_ID_CHARS, RequestLimits, check_collection, check_count, new_document
from tandem_runtime.durations import duration
from tandem_runtime.json_slices import ArraySlices, find_array
from tandem_runtime.memory import Lease, memory_bytes

WHOLE_BYTES: Final = 32 << 10
"""Bodies up to this size are read in the event loop. The worst case, 2,700 empty documents, takes about 20 ms."""

# A character takes at most twelve bytes of JSON: the two escapes of a surrogate pair.
_BYTES_PER_CHARACTER: Final = 12
# Bytes of a document's JSON for names, punctuation and white space.
_OVERHEAD_BYTES: Final = 16 << 10
# Estimated size of the Python objects around a document's values.
_OBJECT_BYTES: Final = 500
_HOLD_EVERY: Final = 64
_NOT_BLANK: Final = re.compile(rb"[^ \t\r\n]")
_BLANK_BLOCK: Final = 64 << 10
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PLAIN: Final = Content()


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``DocumentInput`` with its metadata still as JSON, so that numbers can be stored exactly as sent."""

    text: str
    id: str | int | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    format: TextFormat = "text"


class _Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    documents: list[_Document]
    collection: str = DEFAULT_COLLECTION


_ingest = msgspec.json.Decoder(_Ingest)
_document = msgspec.json.Decoder(_Document)

Hold = Callable[[int], None]
"""Called with the number of bytes that the documents read so far take; may raise OverBudget."""


class IngestReader:
    """Reads bodies, at most one large body at a time; one event loop owns it."""

    def __init__(self, limits: RequestLimits, *, max_bytes: int, timeout: float) -> None:
        """Make the reader.

        Args:
            limits: limits of a request.
            max_bytes: maximum size of a decompressed body.
            timeout: maximum seconds to read a large body, including its wait for other large bodies.
        """
        self.limits = limits
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._one_at_a_time = asyncio.Lock()

    async def read(self, body: Body, lease: Lease, content: Content = _PLAIN) -> tuple[str, NewDocuments]:
        """Return the collection and the documents of an ingest.

        Args:
            body: the body as it was sent.
            lease: holds the body's bytes. When this returns, it holds the size of the documents and belongs to them.
            content: how to read the body.

        Raises:
            InvalidMessage, InvalidRequest: the body is not valid; the error names the document, field and limit.
            OverBudget: the documents take more memory than the budget has left.
            DeadlineExceeded: reading the body took too long.
        """
        if len(body) <= WHOLE_BYTES and not content.gzip:
            collection, documents = self._read(body, content, lambda held: None)
        else:
            size = len(body)
            try:
                async with asyncio.timeout(self._timeout), self._one_at_a_time:
                    collection, documents = await asyncio.to_thread(
                        self._read, body, content, lambda held: lease.hold(size + held)
                    )
            except TimeoutError:
                raise DeadlineExceeded(f"the body was not read within {duration(self._timeout)}") from None
        lease.hold(sum(map(_bytes_of, documents)))
        return collection, NewDocuments(documents, lease)

    def _read(self, body: Body, content: Content, hold: Hold) -> tuple[str, list[NewDocument]]:
        if content.gzip:
            body = decompressed(body, self._max_bytes, hold)
            hold = partial(_hold_more, hold, len(body))
        if content.collection is None:
            return read_ingest(body, self.limits, hold)
        return content.collection, read_lines(body, content.collection, self.limits, hold)


def read_ingest(body: Body, limits: RequestLimits, hold: Hold = lambda held: None) -> tuple[str, list[NewDocument]]:
    """Return the collection and the documents of an ingest; raises the same errors as ``IngestReader.read``."""
    slices = find_array(body, "documents", limits.documents) if len(body) > WHOLE_BYTES else None
    if slices is None:
        message = decode_json(body, _ingest)
        check_collection(message.collection)
        check_count(len(message.documents), limits)
        return message.collection, [
            _new_document(document, f"documents[{place}]", limits) for place, document in enumerate(message.documents)
        ]
    if slices.too_many:
        check_count(limits.documents + 1, limits)
    message = decode_json(slices.rest(body), _ingest)
    check_collection(message.collection)
    check_count(slices.count(body), limits)
    return message.collection, _read_documents(body, slices, limits, hold)


def read_lines(body: Body, collection: str, limits: RequestLimits, hold: Hold = lambda held: None) -> list[NewDocument]:
    """Return the documents of JSON lines, one a line; blank lines are skipped.

    Errors call the first document ``documents[0]``, and their messages begin with the number of its line in the body,
    from 1. Raises the same errors as ``IngestReader.read``.
    """
    check_collection(collection)
    reading = _Reading(limits, hold)
    position = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    while position < len(body):
        # In blocks: the search holds the interpreter's lock, and a body may be one large blank.
        found = _NOT_BLANK.search(body, position, position + _BLANK_BLOCK)
        if found is None:
            position += _BLANK_BLOCK
            continue
        end = body.find(b"\n", found.start())
        end = len(body) if end < 0 else end
        if len(reading.documents) == limits.documents:
            check_count(limits.documents + 1, limits)
        try:
            reading.add(body[found.start() : end])
        except InvalidMessage as error:
            raise InvalidMessage(
                f"line {_line(body, found.start())}: {error.message}", code=error.code, param=error.param
            ) from None
        except InvalidRequest as error:
            raise InvalidRequest(
                f"line {_line(body, found.start())}: {error}", code=error.code, param=error.param
            ) from None
        position = end + 1
    check_count(len(reading.documents), limits)
    return reading.documents


def _line(body: Body, position: int) -> int:
    return body.count(b"\n", 0, position) + 1


def _hold_more(hold: Hold, size: int, held: int) -> None:
    hold(size + held)


def _read_documents(body: Body, slices: ArraySlices, limits: RequestLimits, hold: Hold) -> list[NewDocument]:
    reading = _Reading(limits, hold)
    for index in range(slices.count(body)):
        reading.add(slices.element(body, index))
    return reading.documents


class _Reading:
    """Reads documents one by one, each from its own JSON."""

    def __init__(self, limits: RequestLimits, hold: Hold) -> None:
        self._limits = limits
        self._hold = hold
        self._held = 0
        self._most = _BYTES_PER_CHARACTER * (limits.text_chars + MAX_ID_CHARS + limits.metadata_bytes) + _OVERHEAD_BYTES
        self.documents: list[NewDocument] = []

    def add(self, element: Body) -> None:
        """Read the next document."""
        place = f"documents[{len(self.documents)}]"
        if len(element) > self._most:
            raise InvalidRequest(
                f"{place}: has {len(element)} bytes of JSON, at most {self._most} are allowed, for at most "
                f"{self._limits.text_chars} characters of text and {self._limits.metadata_bytes} bytes of metadata",
                param=place,
                code="limit_exceeded",
            )
        document = _new_document(decode_json(element, _document, at=place), place, self._limits)
        if len(self.documents) % _HOLD_EVERY == 0:
            self._hold(self._held + _bytes_of(document))
        self.documents.append(document)
        self._held += _bytes_of(document)


def _new_document(document: _Document, place: str, limits: RequestLimits) -> NewDocument:
    doc_id = str(document.id) if isinstance(document.id, int) else document.id
    metadata, exact = read_metadata(bytes(document.metadata), f"{place}.metadata")
    return new_document(SubmittedDocument(document.text, doc_id, metadata, exact, document.format), place, limits)


def _bytes_of(document: NewDocument) -> int:
    return memory_bytes(document.text) + memory_bytes(document.metadata) + _OBJECT_BYTES
