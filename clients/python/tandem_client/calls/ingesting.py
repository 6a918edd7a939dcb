"""One request of documents, or of files. ``tandem_client.bulk`` sends many documents."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tandem_client.call import Call, reply_of, several, sparse, to_json
from tandem_contract import headers as names
from tandem_contract.client_api import DEFAULT_COLLECTION, DocumentInput, FilesJob, Job, Metadata, OnError

DocumentLike = DocumentInput | Mapping[str, Any] | str
"""A document: the contract's message, a mapping with its fields, or its text alone."""
FileLike = str | Path | tuple[str, bytes]
"""A file: its path, or its name and content."""

_JOB = reply_of(Job)
_FILES = reply_of(FilesJob)


def encode_document(document: DocumentLike) -> bytes:
    """Encode a document as one line of JSON.

    Raises:
        TypeError: it is no document.
        ValueError: JSON cannot say what it has.
    """
    if isinstance(document, str):
        return to_json({"text": document})
    if isinstance(document, DocumentInput):
        return to_json(sparse(document))
    if isinstance(document, Mapping):
        return to_json(document if isinstance(document, dict) else dict(document))
    raise TypeError(f"a document is a text, a mapping or a DocumentInput, not a {type(document).__name__}")


def ingest_lines(lines: bytes, *, collection: str, on_error: OnError, idempotency_key: str) -> Call[Job]:
    """Store documents that are encoded already, one a line; the reply is their job.

    Args:
        lines: documents as JSON, each with a line feed after it.
        collection: name of the collection, which is created if it does not exist.
        on_error: ``reject`` refuses all documents if one is not valid; ``skip`` leaves it out.
        idempotency_key: the same documents with the same key are stored once.
    """
    return Call(
        "POST",
        "/v1/ingest",
        _JOB,
        params={"collection": collection} | ({} if on_error == "reject" else {"on_error": on_error}),
        body=lines,
        content_type=names.NDJSON,
        headers={names.IDEMPOTENCY_KEY: idempotency_key},
    )


def ingest_batch(
    documents: Iterable[DocumentLike],
    *,
    collection: str = DEFAULT_COLLECTION,
    on_error: OnError = "reject",
    idempotency_key: str | None = None,
) -> Call[Job]:
    """Store documents by one request, and return its job; ``document_ids`` has their ids.

    Args:
        documents: at most 10,000 documents and 16 MiB, by default.
        collection: name of the collection, which is created if it does not exist.
        on_error: ``reject`` refuses all documents if one is not valid; ``skip`` leaves it out.
        idempotency_key: 1 to 255 visible ASCII characters. The same documents with the same key are stored once. None
            for a key of this call, which makes its retries safe.
    """
    lines = b"".join(encode_document(document) + b"\n" for document in several(documents, "documents"))
    return ingest_lines(lines, collection=collection, on_error=on_error, idempotency_key=_key(idempotency_key))


def ingest_files(
    files: Sequence[FileLike],
    *,
    collection: str = DEFAULT_COLLECTION,
    metadata: Metadata | None = None,
    idempotency_key: str | None = None,
) -> Call[FilesJob]:
    """Store the documents of files (.txt, .md, .html, .docx, .pdf, .csv, .jsonl); ``files`` of the reply has each file.

    Args:
        files: paths, or pairs of a name and a content; 1 to 100 files and 16 MiB together, by default.
        collection: name of the collection, which is created if it does not exist.
        metadata: of all documents.
        idempotency_key: as in ``ingest_batch``.
    """
    boundary = secrets.token_hex(16)
    parts = [_form_part(boundary, 'name="collection"', collection.encode())]
    if metadata:
        parts.append(_form_part(boundary, 'name="metadata"', to_json(metadata)))
    for file in several(files, "files"):
        name, content = file if isinstance(file, tuple) else (Path(file).name, Path(file).read_bytes())
        parts.append(_form_part(boundary, f'name="files"; filename="{_quoted(name)}"', content))
    parts.append(f"--{boundary}--\r\n".encode())
    return Call(
        "POST",
        "/v1/ingest/files",
        _FILES,
        body=b"".join(parts),
        content_type=f"{names.FORM}; boundary={boundary}",
        headers={names.IDEMPOTENCY_KEY: _key(idempotency_key)},
    )


def new_key() -> str:
    """Return an idempotency key that no other ingest has."""
    return secrets.token_hex(16)


def _key(idempotency_key: str | None) -> str:
    return new_key() if idempotency_key is None else idempotency_key


def _form_part(boundary: str, disposition: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def _quoted(name: str) -> str:
    """Escape a filename as browsers do."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
