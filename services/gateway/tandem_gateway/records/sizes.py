"""How large a collection is, and how far its index is behind the store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexPosition:
    """What a collection's vector index holds.

    Attributes:
        passages: number of vectors, of which there is one for each passage.
        bytes: estimated memory.
        added: the index has all additions up to this change.
        removed: the index has all removals up to this change.
    """

    passages: int
    bytes: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class StoredSize:
    """What the store holds of a collection.

    Attributes:
        bytes: size of its documents and vectors on disk.
        changes: changes after a position of its index.
        estimated: whether ``bytes`` is an estimate.
    """

    bytes: int
    changes: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSizes:
    """Sizes of a collection; None for what is not known. See ``tandem_contract.client_api.Collection``."""

    passages: int | None = None
    disk_bytes: int | None = None
    disk_bytes_estimated: bool | None = None
    memory_bytes: int | None = None
    changes_behind: int | None = None
