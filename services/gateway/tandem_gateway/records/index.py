"""Changes that the index applies, and its snapshots on disk."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.documents import CollectionRecord

SNAPSHOT_FORMAT = 2
"""Format of the snapshots. Format 1 had one graph, and did not check that a search finds each of its vectors."""


class Spaces(NamedTuple):
    """The spaces that indexes follow, as records of their collections; ``space_id``, model and dim are the space's."""

    serving: list[CollectionRecord]
    """One for each collection."""
    second: list[CollectionRecord]
    """One for each collection that is re-embedded; see ``ports.reembedding``."""

    def all(self) -> list[CollectionRecord]:
        """Return all of them."""
        return [*self.serving, *self.second]


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a collection after some change number, up to and including ``upto``.

    Keys are never reused. Removals and additions may therefore be applied in any order, and more than once.
    """

    upto: int
    removed: Keys
    added: Keys
    firsts: Keys
    """Of each added passage, the first passage of its document."""
    vectors: Vectors
    complete: bool
    """False if more changes follow ``upto``."""


class SnapshotFile(msgspec.Struct, frozen=True):
    """One file of a snapshot."""

    name: str
    bytes: int
    sha256: str


class SnapshotManifest(msgspec.Struct, frozen=True):
    """Description of a snapshot: its source, its content and its files."""

    format: int
    store_id: str
    space_id: int = msgspec.field(name="collection_id")
    """Named as in the snapshots of earlier releases, in which a collection had one space, with the collection's id."""
    collection: str
    fingerprint: str
    dim: int
    description: str
    """Library, version and parameters; see ``GraphFactory.description``."""
    position: int
    """Number of the last change in the snapshot."""
    count: int
    """Number of rows that a search in the snapshot finds."""
    unproven: int
    """See ``index.base.Sweep.unproven``."""
    files: list[SnapshotFile]
    """The graphs, followed by the arrays."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A space whose index no longer needs the changes up to ``position``.

    ``graph`` is true if a new snapshot was saved. A space without a graph has no snapshot. ``engine`` is true if a
    vector engine has the changes; ``error`` then tells why it could not be updated.
    """

    space_id: int
    position: int
    graph: bool
    engine: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """A snapshot that gateways share.

    Attributes:
        number: grows with each publication.
        manifest: JSON of its ``SnapshotManifest``.
        sha256: checksum of the manifest.
        location: folder of its files; see ``ports.shared_snapshots``.
        refusal: why it must not be loaded; None if the store knows no reason.
    """

    number: int
    manifest: bytes
    sha256: str
    location: str
    refusal: str | None


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """A snapshot to publish; its files are complete."""

    manifest: SnapshotManifest
    encoded: bytes
    """JSON of the manifest."""
    sha256: str
    """Checksum of the manifest's JSON."""
    location: str


@dataclass(frozen=True, slots=True)
class Publication:
    """The newest published snapshot of a space: what it has, and how old it is."""

    number: int
    position: int
    unproven: int
    count: int
    seconds: float
    """Since it was published."""
