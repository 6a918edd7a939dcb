"""The size of a collection in memory, as a store on disk would tell it."""

from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.ports.sizes import COUNTED_CHANGES, SAMPLED_DOCUMENTS
from tandem_gateway.records.sizes import StoredSize
from tandem_runtime.memory import utf8_bytes


def stored_size(content: Content, collection: str, added: int, removed: int) -> StoredSize | None:
    """Return the size of a collection; see ``StoredSizes.stored_size``."""
    with content.lock:
        found = content.collections.get(collection)
        if found is None:
            return None
        versions = [
            version
            for _, _, version in sorted(
                (doc_id, live, version)
                for live, each in enumerate((found.pending, found.live))
                for doc_id, version in each.items()
            )
        ]
        half = SAMPLED_DOCUMENTS // 2
        sampled = versions if len(versions) <= SAMPLED_DOCUMENTS else versions[:half] + versions[-half:]
        total = 0
        for version in sampled:
            document = version.document
            total += utf8_bytes(document.doc_id) + utf8_bytes(document.text) + utf8_bytes(document.metadata)
            for passage in version.passages:
                second = found.second.vectors.get(passage.passage_id) if found.second is not None else None
                total += len(passage.vector or b"") + (len(second.vector) if second is not None else 0)
        additions = sum(vector.change > added for *_, vector in found.indexed(found.space_id))
        removals = sum(change > removed for change in found.removals)
        return StoredSize(
            total * len(versions) // len(sampled) if sampled else 0,
            min(additions, COUNTED_CHANGES) + min(removals, COUNTED_CHANGES),
            len(versions) > len(sampled),
        )
