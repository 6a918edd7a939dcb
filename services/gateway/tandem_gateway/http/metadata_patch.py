"""Merges a patch into a document's metadata, as JSON Merge Patch does (RFC 7396)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.metadata_json import read_exactly, read_metadata
from tandem_gateway.records.documents import NewDocument, StoredContent
from tandem_gateway.use_cases.commands import SubmittedDocument
from tandem_gateway.use_cases.validation import RequestLimits, as_new_document

_compact: Final = msgspec.json.Encoder()


def merged(target: object, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target with the patch merged into it; both stay as they are.

    A null removes a key, an object is merged into the value of its key, and any other value replaces it. A target that
    is no object counts as an empty one. Keys keep their order, new ones come last.
    """
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key), value)
        else:
            result[key] = value
    return result


def read_patch(raw: bytes) -> dict[str, Any]:
    """Return a patch from its JSON, with numbers as in ``read_exactly``.

    Raises:
        InvalidMessage: it is not an object of values that metadata may have.
    """
    read_metadata(raw, "metadata")
    return read_exactly(raw)


def patched(stored: StoredContent, patch: Mapping[str, Any], limits: RequestLimits) -> NewDocument:
    """Return a stored document with a patch merged into its metadata.

    The result is that of an ingest of the same text with the merged metadata, so that such an ingest is unchanged.

    Args:
        stored: the document.
        patch: as ``read_patch`` returns it.
        limits: limits of a request.

    Raises:
        InvalidRequest: the merged metadata is too large.
    """
    raw = _compact.encode(merged(read_exactly(stored.metadata), patch))
    if len(raw) > limits.metadata_bytes:
        raise InvalidRequest(
            f"metadata: the merged metadata has {len(raw)} bytes of JSON, at most {limits.metadata_bytes} are allowed "
            "(TANDEM_MAX_METADATA_BYTES)",
            param="metadata",
            code="limit_exceeded",
        )
    submitted = SubmittedDocument(stored.text, stored.doc_id, *read_metadata(raw, "metadata"), stored.format)
    return as_new_document(submitted, "metadata", limits)
