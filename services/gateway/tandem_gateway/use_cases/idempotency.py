"""Idempotency keys: which requests are the same, and which ids the documents of a repeated one have."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.documents import IdempotencyKey, NewDocument
from tandem_gateway.records.job_documents import SkippedDocument

KEY_PATTERN: Final = "^[!-~]{1,255}$"
"""Pattern of an idempotency key, in the syntax of JSON Schema."""

_KEY: Final = re.compile(r"[!-~]{1,255}\Z")
_HASH_BYTES: Final = 32
_OF_JOB_BYTES: Final = 12


def idempotency_key(
    key: str, collection: str, documents: Iterable[NewDocument], skipped: Iterable[SkippedDocument] | None = None
) -> IdempotencyKey:
    """Return the key of an ingest, with the hash of its collection, its documents and the ids that the client gave.

    Args:
        key: as the client sent it.
        collection: name of the collection.
        documents: the valid documents.
        skipped: the others; None if the ingest does not skip any, but is refused for them.

    Raises:
        InvalidRequest: the key is not valid.
    """
    if not _KEY.match(key):
        raise InvalidRequest(
            "idempotency-key: 1 to 255 visible ASCII characters were expected", param="idempotency-key"
        )
    digest = hashlib.blake2b(digest_size=_HASH_BYTES, person=b"" if skipped is None else b"skip")
    digest.update(collection.encode() + b"\0")
    for document in documents:
        # No id that a client can give has a NUL character, so different requests never hash the same bytes.
        digest.update((document.doc_id.encode() if document.given_id else b"") + b"\0" + document.content_hash)
        if document.source is not None:  # an id has no control characters, so this is none
            digest.update(f"\1{document.source}\0{document.source_hash or ''}\0".encode())
    for left_out in skipped or ():
        digest.update(b"\0%d\0" % left_out.index + left_out.content_hash)
    return IdempotencyKey(key, digest.digest())


def with_ids_of(job_id: str, documents: Sequence[NewDocument], prefix: str = "") -> list[NewDocument]:
    """Return the documents; those without a client's id get one that follows from the job and the place.

    A repeated request gets the ids of the first one, which nothing else stores. They begin with ``prefix``.
    """
    of_job = hashlib.blake2b(job_id.encode(), digest_size=_OF_JOB_BYTES).hexdigest()
    return [
        document if document.given_id else dataclasses.replace(document, doc_id=f"{prefix}{of_job}{place:08x}")
        for place, document in enumerate(documents)
    ]
