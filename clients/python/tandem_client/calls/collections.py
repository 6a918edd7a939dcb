"""Collections, their settings, and another model for one."""

import msgspec

from tandem_client.call import Call, body_of, field_of, known, part, reply_of
from tandem_contract.client_api import (
    ChunkingSetting,
    Collection,
    CollectionList,
    CollectionSettings,
    Deleted,
    Reembedding,
    SpaceOverlap,
)

_COLLECTION = reply_of(Collection)
_COLLECTIONS = field_of(CollectionList, lambda reply: reply.collections)
_DELETED = field_of(Deleted, lambda reply: reply.deleted)
_REEMBEDDING = reply_of(Reembedding)
_OVERLAP = reply_of(SpaceOverlap)


def collections() -> Call[list[Collection]]:
    """Return all collections that the API key may use."""
    return Call("GET", "/v1/collections", _COLLECTIONS)


def get_collection(name: str) -> Call[Collection]:
    """Return a collection, with its size; raises NotFound if there is none."""
    return Call("GET", _path(name), _COLLECTION)


def put_collection(
    name: str,
    *,
    chunking: ChunkingSetting | msgspec.UnsetType | None = msgspec.UNSET,
    language: str | msgspec.UnsetType = msgspec.UNSET,
    engine: str | msgspec.UnsetType = msgspec.UNSET,
) -> Call[Collection]:
    """Create a collection, or change its settings; a setting that is not given stays as it is, or gets its default.

    Args:
        name: of the collection.
        chunking: how texts are split into passages; None to embed each text as a whole.
        language: of the words in keyword search, such as ``german``; ``none`` finds exact forms only.
        engine: where vector search keeps the vectors: ``usearch``, ``pgvector`` or ``milvus``.
    """
    settings = CollectionSettings(chunking=chunking, language=language, engine=engine)
    return Call("PUT", _path(name), _COLLECTION, body=body_of(settings))


def delete_collection(name: str) -> Call[bool]:
    """Delete a collection with all its documents, and tell whether there was one."""
    return Call("DELETE", _path(name), _DELETED)


def start_reembedding(name: str) -> Call[Reembedding]:
    """Begin to embed a collection with the model of the canary."""
    return Call("POST", f"{_path(name)}/reembed", _REEMBEDDING, repeatable=False)


def get_reembedding(name: str) -> Call[Reembedding]:
    """Return the progress of that work; raises NotFound if none is under way."""
    return Call("GET", f"{_path(name)}/reembed", _REEMBEDDING)


def switch_reembedding(name: str) -> Call[Reembedding]:
    """Let searches use the new vectors; raises Conflict while a passage has none."""
    return Call("POST", f"{_path(name)}/reembed/switch", _REEMBEDDING, repeatable=False)


def roll_back_reembedding(name: str) -> Call[Reembedding]:
    """Let searches use the old vectors again."""
    return Call("POST", f"{_path(name)}/reembed/rollback", _REEMBEDDING, repeatable=False)


def drop_reembedding(name: str) -> Call[bool]:
    """Drop the vectors that do not serve, and tell whether there were any."""
    return Call("DELETE", f"{_path(name)}/reembed", _DELETED)


def reembedding_overlap(name: str, *, queries: int | None = None) -> Call[SpaceOverlap]:
    """Compare searches with the old and the new vectors.

    Args:
        name: of the collection.
        queries: number of stored documents to look around, 1 to 100; None for the gateway's default.
    """
    return Call("GET", f"{_path(name)}/reembed/overlap", _OVERLAP, params=known(queries=queries))


def _path(name: str) -> str:
    return f"/v1/collections/{part(name, 'collection')}"
