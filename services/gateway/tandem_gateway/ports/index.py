"""Graphs and snapshots of the vector index."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.index import Saved, SnapshotManifest


class Graph(Protocol):
    """An approximate nearest-neighbour index over unit vectors; used by one thread at a time.

    It may not find a vector that it holds, even where the query is that vector: see ``index.base``.
    """

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        ...

    def __len__(self) -> int:
        """Return how many vectors it holds."""
        ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors ``(n, dim) float32`` under keys that are not there yet; a graph that is mapped takes none."""
        ...

    def search(self, queries: Vectors, count: int, effort: int) -> list[dict[int, float]]:
        """Return for each query up to ``count`` keys with their cosines, nearest first.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            count: results at most.
            effort: candidates that are kept on the way, at least ``count``: more find more and take longer. What one
                effort finds, a larger one finds as well.
        """
        ...

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which of the keys are there."""
        ...

    def keys(self) -> Keys:
        """Return every key, in no order."""
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there, ``(n, dim) float32``, with the precision that is stored."""
        ...

    def save(self, path: Path) -> None:
        """Write it to a file."""
        ...


class GraphFactory(Protocol):
    """Makes graphs."""

    def create(self, dim: int) -> Graph:
        """Return an empty graph."""
        ...

    def load(self, path: Path, dim: int, *, writable: bool) -> Graph:
        """Return the graph in a file that ``Graph.save`` wrote.

        The file must have been verified: the library may crash on a damaged one.

        Args:
            path: of the file.
            dim: length of its vectors.
            writable: read it into memory, so that it can be added to; otherwise the file is mapped, which takes no
                time, and must not change while the graph is there.

        Raises:
            ValueError: if the file is no such graph or has another dim.
        """
        ...

    def description(self) -> str:
        """Return library, version, number type and parameters: a snapshot of another description is not loaded."""
        ...


@dataclass(frozen=True, slots=True)
class SavedBase:
    """A base as it is saved: its graphs, and arrays by name."""

    graphs: list[Graph]
    arrays: dict[str, npt.NDArray[Any]]


class SnapshotStore(Protocol):
    """Where the bases of indexes are kept."""

    def manifest(self, collection_id: int) -> SnapshotManifest:
        """Return what a collection's snapshot holds.

        Raises:
            SnapshotUnusable: if there is none, or it is damaged.
        """
        ...

    def load(self, manifest: SnapshotManifest, factory: GraphFactory, *, writable: bool) -> SavedBase:
        """Return the base in a snapshot, verified.

        Args:
            manifest: of the snapshot.
            factory: loads its graphs.
            writable: see ``GraphFactory.load``.

        Raises:
            SnapshotUnusable: if a file is missing or damaged, or made by another version of the library.
        """
        ...

    def publish(self, base: SavedBase, manifest: SnapshotManifest) -> SnapshotManifest:
        """Save a base as the collection's snapshot and return its manifest, completed.

        Raises:
            OSError: if it cannot be written; the former snapshot is untouched.
        """
        ...

    def remove(self, collection_id: int) -> None:
        """Remove a collection's snapshot, if there is one."""
        ...

    def remove_orphans(self, collection_ids: Iterable[int]) -> list[str]:
        """Remove the snapshots of collections that are not among these, and return their folders' names."""
        ...


class SnapshotHelper(Protocol):
    """Saves the indexes of the running gateway, beside it."""

    async def run(self) -> list[Saved]:
        """Save what has changed, and return what was saved.

        Raises:
            StorageUnavailable: if it could not be saved; the former snapshots are untouched.
        """
        ...
