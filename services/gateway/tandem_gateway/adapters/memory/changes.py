"""How a store in memory deletes documents, and changes their metadata. The caller holds the content's lock."""

import time
from collections.abc import Mapping, Sequence

from tandem_gateway.adapters.limits import check_deletions
from tandem_gateway.adapters.memory import failed
from tandem_gateway.adapters.memory.collection import with_source_of
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.adapters.memory.listing import document
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.documents import DELETED_AT_ONCE, MetadataChange
from tandem_gateway.records.documents import Deletions, DocumentView, NewDocument, StoredContent
from tandem_gateway.records.sources import SourceDifference, difference


def synchronize(content: Content, collection: str, source: str, listed: Mapping[str, str]) -> SourceDifference:
    """Delete what a source has no more; see ``DocumentStore.synchronize``."""
    there = content.collections.get(collection)
    newest = {} if there is None else {**there.live, **there.pending}
    held = {
        doc_id: version.document.source_hash for doc_id, version in newest.items() if version.document.source == source
    }
    found = difference(listed, held)
    check_deletions(len(found.deleted))
    if there is not None:
        failed.drop_unlisted(content, there, source, listed)
    for doc_id in found.deleted:
        delete(content, collection, doc_id)
    return found


def delete(content: Content, collection: str, doc_id: str) -> bool:
    """Delete a document; see ``DocumentStore.delete``."""
    found = content.collections.get(collection)
    if found is None:
        return False
    content.supersede(found, doc_id)
    pending, live = found.pending.get(doc_id), found.live.get(doc_id)
    if pending is not None:
        content.end_wait(pending, "deleted", time.time())
    content.remove(found, pending)
    content.remove(found, live)
    content.version += 1
    return pending is not None or live is not None


def delete_some(content: Content, collection: str, doc_ids: Sequence[str], condition: Filter) -> Deletions:
    """Delete documents that match; see ``DocumentStore.delete_some``."""
    done = deleted = 0
    for doc_id in doc_ids:
        if deleted == DELETED_AT_ONCE:
            break
        done += 1
        view = document(content, collection, doc_id)
        if view is None and _has_failed(content, collection, doc_id, condition):
            delete(content, collection, doc_id)
        if view is not None and matches_json(condition, view.metadata):
            deleted += delete(content, collection, doc_id)
    return Deletions(done, deleted)


def change_metadata(content: Content, collection: str, doc_id: str, change: MetadataChange) -> DocumentView | None:
    """Change the metadata of a document; see ``DocumentStore.change_metadata``."""
    found = content.collections.get(collection)
    if found is None:
        return None
    versions = [each.get(doc_id) for each in (found.pending, found.live)]
    changes = [(version, change(_stored(version.document))) for version in versions if version is not None]
    for version, changed in changes:
        if changed.metadata == version.document.metadata:
            continue
        content.supersede(found, doc_id)
        copy = content.copy(version, with_source_of(changed, version.document))
        if version is found.live.get(doc_id):
            content.replace_live(found, version, copy)
        else:
            content.replace_pending(found, version, copy)
        content.version += 1
    return found.view(doc_id)


def _has_failed(content: Content, collection: str, doc_id: str, condition: Filter) -> bool:
    """Return whether a version of a document failed, is kept and matches."""
    found = content.collections.get(collection)
    kept = None if found is None else content.failed.get((found.collection_id, doc_id))
    return kept is not None and matches_json(condition, kept.version.document.metadata)


def _stored(document: NewDocument) -> StoredContent:
    return StoredContent(document.doc_id, document.text, document.metadata, document.format)
