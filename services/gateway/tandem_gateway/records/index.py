"""Changes that the index follows, and its snapshots on disk."""

from dataclasses import dataclass

import msgspec

from tandem_gateway.records.arrays import Keys, Vectors

SNAPSHOT_FORMAT = 2
"""1 had one graph, whose vectors were not searched for."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a collection after a change number, up to and including ``upto``.

    Keys are never reused, so that removals and additions may be applied in any order, and again.
    """

    upto: int
    removed: Keys
    added: Keys
    vectors: Vectors
    complete: bool
    """False if more changes follow ``upto``."""


class SnapshotFile(msgspec.Struct, frozen=True):
    """One file of a snapshot."""

    name: str
    bytes: int
    sha256: str


class SnapshotManifest(msgspec.Struct, frozen=True):
    """What a snapshot holds, and of what."""

    format: int
    store_id: str
    collection_id: int
    collection: str
    fingerprint: str
    dim: int
    description: str
    """Library, version and parameters, see ``GraphFactory.description``."""
    position: int
    """Number of the last change that it holds."""
    count: int
    """Rows that it finds."""
    unproven: int
    """See ``index.base.Sweep.unproven``."""
    files: list[SnapshotFile]
    """The graphs, and last the arrays."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A collection whose index needs no change before ``position`` any more.

    ``graph`` tells whether there is a new snapshot; a collection without a graph has none.
    """

    collection_id: int
    position: int
    graph: bool
