"""Make the documents of a source equal to the list of what the source has."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.ports.documents import DocumentStore
from tandem_gateway.records.sources import SourceDifference
from tandem_gateway.use_cases.validation import check_collection, check_document_id, check_source, check_source_hash

MAX_LISTED: Final = 10_000
"""Maximum number of documents that a source may have."""


class Sources:
    """Access to sources; calls ``on_changed`` after each deletion."""

    def __init__(self, documents: DocumentStore, on_changed: Callable[[], None]) -> None:
        self._documents = documents
        self._on_changed = on_changed

    async def synchronize(
        self, collection: str, source: str, documents: Mapping[str, str], prefix: str = ""
    ) -> SourceDifference:
        """Delete the documents of a source that are not listed; see ``DocumentStore.synchronize``.

        Args:
            collection: name of the collection.
            source: name of the source.
            documents: id → hash, as ``listed`` returns it.
            prefix: begin of the source's name in the store.

        Raises:
            InvalidRequest: a name is not valid, or too many documents would be deleted.
        """
        check_collection(collection)
        check_source(source, "source")
        found = await self._documents.synchronize(collection, prefix + source, documents)
        if found.deleted:
            self._on_changed()
        return found


def listed(entries: Iterable[tuple[str, str]], count: int) -> dict[str, str]:
    """Return the documents of a source, id → hash.

    Args:
        entries: pairs of id and hash.
        count: number of the entries.

    Raises:
        InvalidRequest: there are too many, or an id or a hash is not valid or there twice.
    """
    if count > MAX_LISTED:
        raise InvalidRequest(
            f"documents: at most {MAX_LISTED} documents are allowed, not {count}",
            param="documents",
            code="limit_exceeded",
        )
    found: dict[str, str] = {}
    for place, (doc_id, given) in enumerate(entries):
        check_document_id(doc_id, f"documents[{place}].id")
        check_source_hash(given, f"documents[{place}].hash")
        if doc_id in found:
            raise InvalidRequest(
                f"documents[{place}].id: the id is there more than once", param=f"documents[{place}].id"
            )
        found[doc_id] = given
    return found
