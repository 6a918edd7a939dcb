"""How a store in memory lists the documents of a collection. The caller holds the content's lock."""

from collections.abc import Sequence

import numpy as np

from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.documents import PAGE_BYTES, PAGE_SCANNED
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import DocumentPage, DocumentView


def document(content: Content, collection: str, doc_id: str) -> DocumentView | None:
    """Return a document; see ``DocumentStore.document``."""
    found = content.collections.get(collection)
    return None if found is None else found.view(doc_id)


def documents(
    content: Content, collection: str, doc_ids: Sequence[str], most_bytes: int, condition: Filter
) -> list[DocumentView]:
    """Return documents; see ``DocumentStore.documents``."""
    found = [view for doc_id in doc_ids if (view := document(content, collection, doc_id)) is not None]
    views = [view for view in found if matches_json(condition, view.metadata)]
    if sum(map(_bytes_of, views)) > most_bytes:
        raise TooManyBytes
    return views


def waiting(content: Content, collection: str) -> Keys:
    """Return the versions that wait; see ``DocumentStore.waiting``."""
    found = content.collections.get(collection)
    pending = [] if found is None else [each.passages[0].passage_id for each in found.pending.values()]
    return np.array(sorted(pending), np.uint64)


def page(content: Content, collection: str, after: str, limit: int, condition: Filter) -> DocumentPage | None:
    """Return documents that match; see ``DocumentStore.page``."""
    found = content.collections.get(collection)
    if found is None:
        return None
    doc_ids = sorted(doc_id for doc_id in {*found.pending, *found.live} if doc_id > after)
    views: list[DocumentView] = []
    size, last = 0, after
    for doc_id in doc_ids[:PAGE_SCANNED]:
        view = found.view(doc_id)
        assert view is not None
        if matches_json(condition, view.metadata):
            size += _bytes_of(view)
            if len(views) == limit or (views and size > PAGE_BYTES):
                return DocumentPage(views, last)
            views.append(view)
        last = doc_id
    return DocumentPage(views, last if len(doc_ids) > PAGE_SCANNED else None)


def _bytes_of(view: DocumentView) -> int:
    return len(view.text.encode()) + len(view.metadata.encode())
