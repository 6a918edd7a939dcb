"""Reads the body of an ingest: JSON or JSON lines in, validated documents out.

The event loop decodes a small body as a whole. A thread reads a large body document by document. msgspec holds the GIL
while it decodes, so one call for 16 MiB would block the event loop for its whole duration.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from tandem_contract.client_api import DEFAULT_COLLECTION, OnError
from tandem_contract.decoding import Body, InvalidMessage, decode_json
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest
from tandem_gateway.http.ingest_content import Content
from tandem_gateway.http.ingest_documents import (
    DocumentMessage,
    DocumentReader,
    Hold,
    bytes_of,
    bytes_of_skipped,
    document_of,
)
from tandem_gateway.records.documents import NewDocuments
from tandem_gateway.use_cases.validation import RequestLimits, check_collection, check_count
from tandem_runtime.durations import duration
from tandem_runtime.json_slices import find_array
from tandem_runtime.memory import Lease

WHOLE_BYTES: Final = 32 << 10
"""Bodies up to this size are read in the event loop. The worst case, 2,700 empty documents, takes about 20 ms."""

_NOT_BLANK: Final = re.compile(rb"[^ \t\r\n]")
_BLANK_BLOCK: Final = 64 << 10
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PLAIN: Final = Content()


class _Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    documents: list[DocumentMessage]
    collection: str = DEFAULT_COLLECTION
    on_error: OnError = "reject"


class _Undecoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ingest whose documents are still JSON: one that is not valid does not make the others so."""

    documents: list[msgspec.Raw]
    collection: str = DEFAULT_COLLECTION
    on_error: OnError = "reject"


_ingest = msgspec.json.Decoder(_Ingest)
_undecoded = msgspec.json.Decoder(_Undecoded)


class IngestReader:
    """Reads bodies, at most one large body at a time; one event loop owns it."""

    def __init__(self, limits: RequestLimits, *, timeout: float) -> None:
        """Make the reader.

        Args:
            limits: limits of a request.
            timeout: maximum seconds to read a large body, including its wait for other large bodies.
        """
        self.limits = limits
        self._timeout = timeout
        self._one_at_a_time = asyncio.Lock()

    async def read(self, body: Body, lease: Lease, content: Content = _PLAIN) -> tuple[str, NewDocuments]:
        """Return the collection and the documents of an ingest.

        Args:
            body: the body, decompressed.
            lease: holds the body's bytes. When this returns, it holds the size of the documents and belongs to them.
            content: how to read the body.

        Raises:
            InvalidMessage, InvalidRequest: the body is not valid; the error names the document, field and limit.
            OverBudget: the documents take more memory than the budget has left.
            DeadlineExceeded: reading the body took too long.
        """
        found = self._read_in_loop(body, content)
        if found is None:
            size = len(body)
            try:
                async with asyncio.timeout(self._timeout), self._one_at_a_time:
                    found = await asyncio.to_thread(self._read, body, content, lambda held: lease.hold(size + held))
            except TimeoutError:
                raise DeadlineExceeded(f"the body was not read within {duration(self._timeout)}") from None
        collection, documents = found
        lease.hold(sum(map(bytes_of, documents)) + sum(map(bytes_of_skipped, documents.skipped or ())))
        return collection, NewDocuments(documents, lease, documents.skipped)

    def _read_in_loop(self, body: Body, content: Content) -> tuple[str, NewDocuments] | None:
        """Read a body in the event loop; return None if that takes too long."""
        if len(body) > WHOLE_BYTES or content.skip:
            return None
        try:
            if content.collection is None:
                return read_ingest(body, self.limits, in_loop=True)
            return content.collection, read_lines(body, content.collection, self.limits)
        except TakesLong:
            return None

    def _read(self, body: Body, content: Content, hold: Hold) -> tuple[str, NewDocuments]:
        if content.collection is None:
            return read_ingest(body, self.limits, hold)
        return content.collection, read_lines(body, content.collection, self.limits, hold, skip=content.skip)


def read_ingest(
    body: Body, limits: RequestLimits, hold: Hold = lambda held: None, *, in_loop: bool = False
) -> tuple[str, NewDocuments]:
    """Return the collection and the documents of an ingest; raises the same errors as ``IngestReader.read``.

    Args:
        body: JSON.
        limits: limits of a request.
        hold: see ``Hold``.
        in_loop: raise TakesLong if documents may have to be skipped.
    """
    if len(body) <= WHOLE_BYTES:
        found = _read_whole(body, limits)
        if found is not None:
            return found
        if in_loop:
            raise TakesLong
    slices = find_array(body, "documents", limits.documents)
    if slices is None:
        return _read_undecoded(body, limits, hold)
    if slices.too_many:
        check_count(limits.documents + 1, limits)
    message = decode_json(slices.rest(body), _ingest)
    check_collection(message.collection)
    count = slices.count(body)
    check_count(count, limits)
    elements = (slices.element(body, index) for index in range(count))
    return message.collection, _read_each(elements, limits, hold, skip=message.on_error == "skip")


def read_lines(
    body: Body,
    collection: str,
    limits: RequestLimits,
    hold: Hold = lambda held: None,
    *,
    skip: bool = False,
) -> NewDocuments:
    """Return the documents of JSON lines, one a line; blank lines do not count.

    Errors call the first document ``documents[0]``, and their messages begin with the number of its line in the body,
    from 1. Raises the same errors as ``IngestReader.read``.
    """
    check_collection(collection)
    reader = DocumentReader(limits, hold, skip=skip, lines=True)
    position = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    while position < len(body):
        # In blocks: the search holds the interpreter's lock, and a body may be one large blank.
        found = _NOT_BLANK.search(body, position, position + _BLANK_BLOCK)
        if found is None:
            position += _BLANK_BLOCK
            continue
        end = body.find(b"\n", found.start())
        end = len(body) if end < 0 else end
        if reader.count == limits.documents:
            check_count(limits.documents + 1, limits)
        try:
            reader.add(body[found.start() : end])
        except InvalidMessage as error:
            message = f"line {_line(body, found.start())}: {error.message}"
            raise InvalidMessage(message, code=error.code, param=error.param) from None
        except InvalidRequest as error:
            message = f"line {_line(body, found.start())}: {error}"
            raise InvalidRequest(message, code=error.code, param=error.param) from None
        position = end + 1
    return reader.documents()


class TakesLong(Exception):
    """The body may have many documents to skip, and each takes longer than a valid one: a thread has to read it."""


def _line(body: Body, position: int) -> int:
    return body.count(b"\n", 0, position) + 1


def _read_whole(body: Body, limits: RequestLimits) -> tuple[str, NewDocuments] | None:
    """Return the documents of a body that is decoded in one call; None if it asks to skip some of them."""
    try:
        message = decode_json(body, _ingest)
    except InvalidMessage:
        if _skips(body, limits):
            return None
        raise
    if message.on_error == "skip":
        return None
    check_collection(message.collection)
    check_count(len(message.documents), limits)
    return message.collection, NewDocuments(
        document_of(document, f"documents[{place}]", limits) for place, document in enumerate(message.documents)
    )


def _read_undecoded(body: Body, limits: RequestLimits, hold: Hold) -> tuple[str, NewDocuments]:
    """Return the documents of a body in which they are not found without decoding it, as their name has an escape."""
    message = decode_json(body, _undecoded)
    check_collection(message.collection)
    check_count(len(message.documents), limits)
    return message.collection, _read_each(map(bytes, message.documents), limits, hold, skip=message.on_error == "skip")


def _skips(body: Body, limits: RequestLimits) -> bool:
    """Return whether a body asks to skip documents that are not valid, or may ask, as it has too many."""
    slices = find_array(body, "documents", limits.documents)
    try:
        if slices is None:
            return decode_json(body, _undecoded).on_error == "skip"
        # The scan ends where there are too many, and does not see the field. The body is refused for their number.
        return slices.too_many or decode_json(slices.rest(body), _ingest).on_error == "skip"
    except InvalidMessage:
        return False


def _read_each(elements: Iterable[Body], limits: RequestLimits, hold: Hold, *, skip: bool) -> NewDocuments:
    reader = DocumentReader(limits, hold, skip=skip)
    for element in elements:
        reader.add(element)
    return reader.documents()
