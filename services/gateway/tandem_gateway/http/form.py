"""Reads a form of files (``multipart/form-data``, RFC 7578) while it arrives; the only module that imports multipart.

Litestar requires ``multipart`` and reads its forms with it. This module feeds the same push parser from the request's
body, because Litestar's reader has no bound on bytes or time, writes parts over 1 MB to ``/tmp``, and answers before it
has read the rest of a body that it refuses.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)  # fmt: skip

from tandem_contract import headers
from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_contract.decoding import InvalidMessage, cut
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.files import UploadedFile
from tandem_runtime.cors import ALLOWED
from tandem_runtime.request_id import Scope, header

FILES: Final = "files"
COLLECTION: Final = "collection"
METADATA: Final = "metadata"
FIELD_BYTES: Final = 1 << 16
"""Maximum size of a part that is no file, unless the limit on metadata needs more."""

_MAX_BOUNDARY: Final = 70  # RFC 2046, section 5.1.1
# Estimated size of the objects of a part.
_PART_BYTES: Final = 1000


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Limits of a form.

    Attributes:
        files: maximum number of files.
        file_bytes: maximum size of a file, in bytes.
        metadata_bytes: maximum size of the metadata of a document, in bytes of JSON.
    """

    files: int
    file_bytes: int
    metadata_bytes: int


@dataclass(slots=True)
class Form:
    """A form's content.

    Attributes:
        collection: name of the collection.
        metadata: JSON of the metadata of all files; None if the form has none.
        files: the files, in the order sent.
    """

    collection: str = DEFAULT_COLLECTION
    metadata: bytes | None = None
    files: list[UploadedFile] = field(default_factory=list)


def boundary_of(scope: Scope) -> bytes:
    """Return the boundary of a form, from the request's content type.

    A browser lets a web page send a form to any server without a preflight request, unlike JSON. Forms of pages are
    therefore taken only from the gateway's own origin, which the browser tells by ``Sec-Fetch-Site``, and from origins
    that a setting allows. An older browser tells its ``Origin`` alone, and other clients neither.

    Raises:
        InvalidMessage: another site's page sent the form; or the body is no form or has no boundary.
    """
    site = header(scope, b"sec-fetch-site")
    foreign = site not in (None, b"same-origin", b"none") or (site is None and header(scope, b"origin") is not None)
    if foreign and not scope.get(ALLOWED):
        raise InvalidMessage(
            "sec-fetch-site: a form is taken from a page of this origin only, or from no page",
            code="forbidden",
            param="sec-fetch-site",
        )
    given = (header(scope, b"content-type") or b"").decode("latin-1")
    media_type, options = parse_options_header(given)
    boundary = str(options.get("boundary", ""))
    if media_type != headers.FORM or not 1 <= len(boundary) <= _MAX_BOUNDARY:
        raise InvalidMessage(
            f"content-type: {headers.FORM} with a boundary of 1 to {_MAX_BOUNDARY} characters was expected, not "
            f"{cut(ascii(given))}",
            code="unsupported_media_type",
            param="content-type",
        )
    return boundary.encode("latin-1")


class FormParser:
    """Takes the parts of a body and keeps the fields; nothing is copied to a disk."""

    def __init__(self, boundary: bytes, limits: FormLimits, hold: Callable[[int], None]) -> None:
        """Make the parser.

        Args:
            boundary: of the form.
            limits: of the form.
            hold: called with the number of bytes that the form grows by; may raise OverBudget.
        """
        self._limits = limits
        self._hold = hold
        self._form = Form()
        self._fields: dict[str, bytes] = {}
        self._segment: MultipartSegment | None = None
        self._content = bytearray()
        self._most = 0
        try:
            # One file more than allowed, and each other field twice, so that the errors name them.
            self._parser = PushMultipartParser(boundary, max_segment_count=limits.files + 5)
        except MultipartError as error:
            raise _malformed(str(error)) from None

    def feed(self, chunk: bytes) -> None:
        """Take the next part of the body.

        Raises:
            InvalidMessage: the body is no form, or a file is too large.
            InvalidRequest: a field is unknown, repeated or too large, or there are too many files.
            OverBudget: the requests in progress use up the memory budget.
        """
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event:
                    self._add(event)
                else:
                    self._end()
        except ParserLimitReached as error:
            raise InvalidRequest(f"{FILES}: {error}", param=FILES, code="limit_exceeded") from None
        except MultipartError as error:
            raise _malformed(str(error)) from None

    def form(self) -> Form:
        """Return the form once the body has ended.

        Raises:
            InvalidMessage: the body ended too early, or a field is not UTF-8.
            InvalidRequest: there is no file.
        """
        try:
            self._parser.close()
        except MultipartError as error:
            raise _malformed(str(error)) from None
        if not self._form.files:
            raise InvalidRequest(
                f"{FILES}: 1 to {self._limits.files} files were expected, each a part of the form with the name "
                f"{FILES!r} and a filename",
                param=FILES,
                code="missing_field",
            )
        if COLLECTION in self._fields:
            try:
                self._form.collection = self._fields[COLLECTION].decode()
            except UnicodeDecodeError:
                raise InvalidMessage(
                    f"{COLLECTION} is not valid UTF-8", code="invalid_encoding", param=COLLECTION
                ) from None
        self._form.metadata = self._fields.get(METADATA)
        return self._form

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        if name == FILES:
            if not segment.filename:
                raise InvalidRequest(
                    f"{FILES}[{len(self._form.files)}]: a filename was expected; it names the document and the format",
                    param=f"{FILES}[{len(self._form.files)}]",
                    code="missing_field",
                )
            if len(self._form.files) == self._limits.files:
                raise InvalidRequest(
                    f"{FILES}: at most {self._limits.files} files are allowed in one request, and there are more",
                    param=FILES,
                    code="limit_exceeded",
                )
            self._most = self._limits.file_bytes
        elif name in (COLLECTION, METADATA):
            if name in self._fields:
                raise InvalidRequest(f"{name}: is there more than once", param=name)
            self._most = max(FIELD_BYTES, 8 * self._limits.metadata_bytes)
        else:
            raise InvalidRequest(
                f"unknown field: {cut(name)}; the fields are {FILES}, {COLLECTION}, {METADATA}",
                param=cut(name),
                code="unknown_field",
            )
        self._hold(_PART_BYTES)
        self._segment, self._content = segment, bytearray()

    def _add(self, piece: bytes) -> None:
        assert self._segment is not None
        if len(self._content) + len(piece) > self._most:
            if self._segment.name == FILES:
                place = f"{FILES}[{len(self._form.files)}]"
                raise InvalidMessage(
                    f"{place}: {cut(self._segment.filename or '')} has more than {self._most} bytes, "
                    "which is the limit of a file",
                    code="body_too_large",
                    param=place,
                )
            raise InvalidRequest(
                f"{self._segment.name}: has more than {self._most} bytes, which is the limit of a field",
                param=str(self._segment.name),
                code="limit_exceeded",
            )
        self._hold(len(piece))
        self._content += piece

    def _end(self) -> None:
        assert self._segment is not None
        content, self._content = self._content, bytearray()
        if self._segment.name == FILES:
            self._form.files.append(UploadedFile(self._segment.filename or "", content))
        else:
            self._fields[str(self._segment.name)] = bytes(content)


def _malformed(reason: str) -> InvalidMessage:
    return InvalidMessage(f"the body is not a valid form: {cut(reason)}", code="malformed_body", param="body")
