"""Gives the filter of a key to the documents that its holder writes."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tandem_gateway.access.document_filter import DocumentFilter
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.matching import decode_metadata, matches, value_at
from tandem_gateway.filters.tree import Exists, key_of
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.use_cases.validation import content_hash

_compact: Final = msgspec.json.Encoder()
_canonical: Final = msgspec.json.Encoder(order="sorted")
_exact: Final = msgspec.json.Decoder(dict[str, Any], float_hook=lambda text: msgspec.Raw(text.encode()))


def check_fields(metadata: str, place: str, of_key: DocumentFilter) -> list[str]:
    """Check that a document's metadata does not contradict a filter.

    Args:
        metadata: JSON text.
        place: path of the metadata in the request.
        of_key: the filter.

    Returns:
        The fields of the filter that the metadata has not.

    Raises:
        InvalidRequest: a field has another value than in the filter; the error names it, and not the value.
    """
    decoded = decode_metadata(metadata)
    missing = []
    for name, key in of_key.equalities.items():
        if not matches(Exists(name), decoded):
            missing.append(name)
        elif key_of(value_at(decoded, name)) != key:
            raise InvalidRequest(
                f"{place}.{name[:80]}: the filter of the key sets this field; leave it out",
                param=f"{place}.{name[:80]}",
            )
    return missing


def stamped(document: NewDocument, place: str, of_key: DocumentFilter) -> NewDocument:
    """Return a document with the fields of a filter, and under the names that the store has for it.

    The result has the hash of an ingest with the whole metadata.

    Args:
        document: as the holder of the filter sent it.
        place: path of the document in the request.
        of_key: the filter.

    Raises:
        InvalidRequest: its id is too long, or a field has another value than in the filter.
    """
    if len(document.doc_id) > of_key.most_chars:
        raise InvalidRequest(
            f"{place}.id: 1 to {of_key.most_chars} characters were expected with a key that has a filter, "
            f"not {len(document.doc_id)}",
            param=f"{place}.id",
            code="limit_exceeded",
        )
    missing = check_fields(document.metadata, f"{place}.metadata", of_key)
    metadata, hashed = document.metadata, document.content_hash
    if missing:
        whole = _exact.decode(document.metadata) | {name: of_key.equalities[name][1] for name in missing}
        metadata = _compact.encode(whole).decode()
        hashed = content_hash(document.text, _canonical.encode(whole), document.format)
    return dataclasses.replace(
        document,
        doc_id=of_key.stored(document.doc_id),
        metadata=metadata,
        content_hash=hashed,
        source=None if document.source is None else of_key.stored(document.source),
    )


def stamp(documents: NewDocuments, of_key: DocumentFilter) -> None:
    """Replace the documents of an ingest by ``stamped`` ones.

    One that is not valid is skipped, if the ingest skips such documents.

    Raises:
        InvalidRequest: a document is not valid, and none may be skipped; or no document is.
    """
    skipped = documents.skipped
    done: list[NewDocument] = []
    refused: list[SkippedDocument] = []
    first: InvalidRequest | None = None
    for index, document in zip(_places(len(documents), skipped or ()), documents, strict=True):
        try:
            done.append(stamped(document, f"documents[{index}]", of_key))
        except InvalidRequest as error:
            if skipped is None:
                raise
            first = first or error
            doc_id = document.doc_id if document.given_id else None
            refused.append(SkippedDocument(index, doc_id, error.param, str(error), document.content_hash))
    if first is not None and not done:
        raise first
    documents[:] = done
    if refused:
        documents.skipped = sorted([*(skipped or ()), *refused], key=lambda each: each.index)


def _places(count: int, skipped: Iterable[SkippedDocument]) -> list[int]:
    """Return the places in the ingest of the documents that were not skipped."""
    out = {each.index for each in skipped}
    return [place for place in range(count + len(out)) if place not in out]
