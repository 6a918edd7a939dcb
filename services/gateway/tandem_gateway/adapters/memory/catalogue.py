"""How a store in memory changes and deletes collections. The caller holds the content's lock."""

import time

import msgspec

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.records.documents import CollectionChange, CollectionRecord


def put_collection(content: Content, collection: str, change: CollectionChange, limits: Limits) -> CollectionRecord:
    """Create or change a collection; see ``Catalogue.put_collection``."""
    found = content.collections.get(collection)
    if found is None:
        limits.check_collections(len(content.collections))
        found = content.create(collection)
    change.check(found.record())
    if change.chunking is not msgspec.UNSET and change.chunking != found.chunking:
        found.chunking = change.chunking
        content.catalogue += 1
    if change.language is not msgspec.UNSET and change.language != found.language:
        found.language = change.language
        content.catalogue += 1
    if change.engine is not msgspec.UNSET and change.engine != found.engine:
        found.engine = change.engine
        content.catalogue += 1
    content.version += 1
    return found.record()


def delete_collection(content: Content, collection: str) -> bool:
    """Delete a collection with its content; see ``Catalogue.delete_collection``."""
    found = content.collections.pop(collection, None)
    if found is None:
        return False
    for version in found.pending.values():
        content.end_wait(version, "deleted", time.time())
    content.failed = {key: each for key, each in content.failed.items() if each.collection is not found}
    content.catalogue += 1
    content.version += 1
    return True
