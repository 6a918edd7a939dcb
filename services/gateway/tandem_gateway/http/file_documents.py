"""Documents of files: what the extraction returned in, validated documents out."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tandem_contract.client_api import IngestedFile
from tandem_contract.decoding import InvalidMessage, cut, decode_json
from tandem_contract.errors import ErrorCode
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.form import FILES, METADATA
from tandem_gateway.http.ingest_documents import bytes_of, read_document
from tandem_gateway.http.metadata_json import read_metadata
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.records.files import Extraction
from tandem_gateway.use_cases.validation import RequestLimits, check_count
from tandem_runtime.memory import Lease

RESERVED: Final = ("file", "page", "title")
"""Fields of metadata that the gateway sets."""

_HOLD_EVERY: Final = 64
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Id(msgspec.Struct, frozen=True):
    id: str


_id = msgspec.json.Decoder(_Id)


@dataclass(frozen=True, slots=True)
class FileDocuments:
    """The documents of a request's files, and what became of each file."""

    documents: NewDocuments
    files: list[IngestedFile]


def metadata_of_form(raw: bytes | None) -> dict[str, msgspec.Raw]:
    """Return the metadata for all files: field → raw JSON.

    Raises:
        InvalidMessage: it is no metadata; names the field.
        InvalidRequest: it has a field that the gateway sets.
    """
    if raw is None:
        return {}
    read_metadata(raw, METADATA)
    fields = decode_json(raw, _fields, at=METADATA)
    for name in RESERVED:
        if name in fields:
            raise InvalidRequest(
                f"{METADATA}.{name}: the gateway sets this field from the file; choose another name",
                param=f"{METADATA}.{name}",
            )
    # In one line: the process that extracts reads a line. Numbers keep all their digits.
    return {name: msgspec.Raw(msgspec.json.format(bytes(value), indent=-1)) for name, value in fields.items()}


class FileDocumentsReader:
    """Reads the results of one request at a time in a thread; one event loop owns it."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._one_at_a_time = asyncio.Lock()

    @property
    def max_documents(self) -> int:
        """Maximum number of documents in a request."""
        return self._limits.documents

    async def read(self, names: Sequence[str], extractions: Sequence[Extraction], lease: Lease) -> FileDocuments:
        """Return the documents of all files.

        Args:
            names: names of the files.
            extractions: what was read from each.
            lease: holds the bytes of these. When this returns, it holds the documents and belongs to them.

        Raises:
            InvalidRequest: all files fail, and the error is the first one's; or there are too many documents.
            OverBudget: the documents take more memory than the budget has left.
        """
        size = lease.held
        async with self._one_at_a_time:
            read = await asyncio.to_thread(
                read_files, names, extractions, self._limits, lambda held: lease.hold(size + held)
            )
        lease.hold(sum(map(bytes_of, read[0])))
        return FileDocuments(NewDocuments(read[0], lease), read[1])


def read_files(
    names: Sequence[str],
    extractions: Sequence[Extraction],
    limits: RequestLimits,
    hold: Callable[[int], None] = lambda held: None,
) -> tuple[list[NewDocument], list[IngestedFile]]:
    """Return the documents of files and what became of each; a file with an invalid document fails as a whole.

    Args:
        names: names of the files.
        extractions: what was read from each.
        limits: limits of a request.
        hold: called with the number of bytes that the documents take; may raise OverBudget.

    Raises:
        InvalidRequest: as in ``FileDocumentsReader.read``.
    """
    documents: list[NewDocument] = []
    files: list[IngestedFile] = []
    place_of: dict[str, str] = {}
    held = 0
    code: ErrorCode | None = None
    for name, extraction in zip(names, extractions, strict=True):
        error = extraction.error
        error_code: ErrorCode = "invalid_field"
        first = len(documents)
        if error is None:
            try:
                for line in _lines(extraction.lines):
                    document = _document(line, name, limits)
                    if document.doc_id in place_of:
                        raise InvalidRequest(
                            f"the id {cut(document.doc_id)!r} is there already, in {cut(place_of[document.doc_id])}",
                            param=FILES,
                        )
                    place_of[document.doc_id] = name
                    documents.append(document)
                    held += bytes_of(document)
                    if len(documents) % _HOLD_EVERY == 0:
                        hold(held)
                    if len(documents) > limits.documents:
                        break
                if len(documents) == first:
                    error = "has no documents"
            except (InvalidRequest, InvalidMessage) as refused:
                error, error_code = str(refused), refused.code
        if len(documents) > limits.documents:
            check_count(len(documents), limits)
        if error is not None:
            for document in documents[first:]:
                del place_of[document.doc_id]
            del documents[first:]
            code = code or error_code
        files.append(IngestedFile(name, len(documents) - first, error))
    if not documents:
        failed = files[0]
        raise InvalidRequest(
            f"{FILES}[0]: {cut(failed.name)}: {failed.error}"
            + (f"; none of the {len(files)} files can be stored" if len(files) > 1 else ""),
            param=f"{FILES}[0]",
            code=code or "invalid_field",
        )
    return documents, files


def _lines(content: bytes) -> Iterator[bytes]:
    begin = 0
    while (end := content.find(b"\n", begin)) >= 0:
        yield content[begin:end]
        begin = end + 1


def _document(line: bytes, name: str, limits: RequestLimits) -> NewDocument:
    doc_id = decode_json(line, _id, at=name).id
    return read_document(line, _place(doc_id, name), limits)


def _place(doc_id: str, name: str) -> str:
    """Return where a document of a file is, for messages that begin with the name of the file.

    The id of a page or row without an id of its own is the name of its file and a number.
    """
    if not doc_id or doc_id == name:
        return "document"
    if doc_id.startswith(f"{name}#"):
        return f"document {cut(doc_id.removeprefix(f'{name}#'))}"
    return cut(doc_id)
