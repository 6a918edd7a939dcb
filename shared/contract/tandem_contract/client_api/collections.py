"""Collections, their settings, and another model for one."""

from typing import Literal

import msgspec


class ChunkingSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long texts are split into passages, which are embedded one by one; see ``tandem_contract.embed.Chunking``."""

    max_tokens: int | None = None
    """Maximum length of a passage in tokens, from 32 to the model's limit; null for the model's limit."""
    overlap_tokens: int | None = None
    """Tokens that a passage may repeat of the one before, at most half of ``max_tokens``; null for a tenth of it."""


class CollectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``PUT /v1/collections/{collection}``; a setting that is missing stays as it is, or gets its default."""

    chunking: ChunkingSetting | msgspec.UnsetType | None = msgspec.UNSET
    """Null to embed each text as a whole, cut at the model's limit. It can change only while there are no documents."""
    language: str | msgspec.UnsetType = msgspec.UNSET
    """Language of the words in keyword search, such as ``german``; ``none`` finds exact forms only."""
    engine: str | msgspec.UnsetType = msgspec.UNSET
    """Where vector search keeps the vectors: ``usearch``, in the gateway's memory, or a vector engine that the gateway
    is set up for: ``pgvector`` or ``milvus``. It can change only while there are no documents."""


class Collection(msgspec.Struct, frozen=True):
    """A collection; ``fingerprint``, ``model`` and ``dim`` are null until its first vector pins them."""

    name: str
    """Name of the collection."""
    document_count: int
    """Documents that search can find."""
    pending_documents: int
    """Documents, or newer versions of documents, that have no vector yet."""
    fingerprint: str | None
    """Fingerprint of the model of its vectors; null before the first vector."""
    model: str | None
    """Name of this model; null before the first vector."""
    dim: int | None
    """Number of numbers in a vector; null before the first vector."""
    chunking: ChunkingSetting | None = None
    """Null if each text is embedded as a whole."""
    language: str = "english"
    """Language of the words in keyword search; ``none`` if it finds exact forms only."""
    engine: str = "usearch"
    """Where vector search keeps the vectors: ``usearch`` in the gateway's memory, or a vector engine."""
    passages: int | msgspec.UnsetType | None = msgspec.UNSET
    """Passages that search can find. Absent, like the next four, but from ``GET /v1/collections/{collection}``; null
    if it is not known, or if the key has a filter."""
    disk_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    """Bytes of the texts, metadata, ids and vectors of its documents in the store."""
    disk_bytes_estimated: bool | msgspec.UnsetType | None = msgspec.UNSET
    """Whether ``disk_bytes`` is an estimate, from a part of the documents."""
    memory_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    """Estimated bytes of its vector index, its filter columns and what keyword search has read of it, in memory."""
    changes_behind: int | msgspec.UnsetType | None = msgspec.UNSET
    """Added and removed passages that the vector index does not have yet; 0 if it has all."""


class CollectionList(msgspec.Struct, frozen=True):
    """``GET /v1/collections``."""

    collections: list[Collection]
    """The collections."""


ReembedStatus = Literal["filling", "ready", "switched"]
"""``filling``: passages miss vectors of the new model. ``ready``: all have one. ``switched``: searches use them, and
the old vectors are kept."""


class Reembedding(msgspec.Struct, frozen=True):
    """``/v1/collections/{collection}/reembed``: the vectors that a collection has beside those that serve.

    Before the switch they are those of the new model, after it those of the old one.
    """

    collection: str
    """Name of the collection."""
    status: ReembedStatus
    """``filling``: passages miss vectors of the new model. ``ready``: all have one. ``switched``: searches use them,
    and the old vectors are kept."""
    fingerprint: str
    """Of the model of these vectors."""
    model: str
    """Name of the model of these vectors."""
    serving_fingerprint: str
    """Of the model whose vectors serve."""
    serving_model: str
    """Name of the model whose vectors serve."""
    total_passages: int
    """Passages of the documents that search can find."""
    embedded_passages: int
    """How many of them have one of these vectors."""
    truncated_passages: int
    """Passages of which the model read only the beginning, also such as are gone by now."""
    failed_passages: int = 0
    """Passages that the model refused; tried again after minutes."""
    error: str | None = None
    """Why passages get no vectors; null if nothing is wrong."""


class SpaceOverlap(msgspec.Struct, frozen=True):
    """``GET /v1/collections/{collection}/reembed/overlap``: how alike searches with both kinds of vectors are."""

    collection: str
    """Name of the collection."""
    queries: int
    """Number of searches that were compared; each looks for the documents nearest to a stored document."""
    top_k: int
    """How many of the nearest documents are compared."""
    overlap: float | None
    """Mean share of them that both kinds of vectors find, from 0 to 1; null if nothing could be compared."""


class Deleted(msgspec.Struct, frozen=True):
    """The reply to a DELETE: whether there was anything to delete."""

    deleted: bool
    """Whether there was anything to delete."""
