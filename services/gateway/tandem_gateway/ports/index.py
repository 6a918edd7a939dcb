"""Ports for the graphs and the snapshots of the vector index."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.index import Saved, SnapshotFile, SnapshotManifest


class Graph(Protocol):
    """An approximate nearest-neighbour index over unit vectors; used by one thread at a time.

    A search may miss a vector that the graph holds, even if the query equals that vector; see ``index.base``.
    """

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        ...

    def __len__(self) -> int:
        """Return the number of vectors in the graph."""
        ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors, ``(n, dim) float32``, under new keys. A memory-mapped graph is read-only."""
        ...

    def search(self, queries: Vectors, count: int, effort: int) -> list[dict[int, float]]:
        """Return up to ``count`` keys with their cosines for each query, nearest first.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            count: maximum number of results per query.
            effort: candidates that the search keeps (HNSW's ``ef``), at least ``count``. A larger effort finds more
                and takes longer. It also finds every result that a smaller effort finds.
        """
        ...

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return for each key whether the graph has it."""
        ...

    def keys(self) -> Keys:
        """Return every key, in no particular order."""
        ...

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of existing keys, ``(n, dim) float32``, at the precision that the graph stores."""
        ...

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        ...


class GraphFactory(Protocol):
    """Creates and loads graphs."""

    def create(self, dim: int) -> Graph:
        """Return an empty graph."""
        ...

    def load(self, path: Path, dim: int, *, writable: bool) -> Graph:
        """Return the graph in a file that ``Graph.save`` wrote.

        Verify the file's checksum first: the library may crash on a damaged file.

        Args:
            path: path of the file.
            dim: dimension of the vectors.
            writable: true reads the file into memory, so that vectors can be added. False maps the file, which takes
                no time; the file must then not change while the graph is in use.

        Raises:
            ValueError: the file is not such a graph or has another dimension.
        """
        ...

    def description(self) -> str:
        """Return library, version, number type and parameters. A snapshot with another description is not loaded."""
        ...


@dataclass(frozen=True, slots=True)
class SavedBase:
    """A base in its saved form: its graphs, and its arrays by name."""

    graphs: list[Graph]
    arrays: dict[str, npt.NDArray[Any]]


class SnapshotStore(Protocol):
    """Stores the bases of the indexes, one snapshot per space."""

    def manifest(self, space_id: int) -> SnapshotManifest:
        """Return the manifest of a space's snapshot.

        Raises:
            SnapshotUnusable: there is no snapshot, or its manifest is damaged.
        """
        ...

    def load(self, manifest: SnapshotManifest, factory: GraphFactory, *, writable: bool) -> SavedBase:
        """Verify a snapshot's files and return its base.

        Args:
            manifest: manifest of the snapshot.
            factory: loads the graphs.
            writable: see ``GraphFactory.load``.

        Raises:
            SnapshotUnusable: a file is missing or damaged, or another version of the library wrote the graphs.
        """
        ...

    def publish(self, base: SavedBase, manifest: SnapshotManifest) -> SnapshotManifest:
        """Save a base as the space's snapshot and return the completed manifest.

        Raises:
            OSError: the snapshot cannot be written. The previous snapshot is untouched.
        """
        ...

    def receive(self, manifest: SnapshotManifest, fetch: Callable[[SnapshotFile, Path], None]) -> None:
        """Make another gateway's snapshot the space's, in place of the previous one.

        Args:
            manifest: of that snapshot.
            fetch: writes the content of a file to a path.

        Raises:
            SnapshotUnusable: a file is not what the manifest says. The previous snapshot is untouched, as it is after
                any error of ``fetch``.
            OSError: a file cannot be written.
        """
        ...

    def path(self, manifest: SnapshotManifest, file: SnapshotFile) -> Path:
        """Return where a file of a space's snapshot is."""
        ...

    def remove(self, space_id: int) -> None:
        """Delete a space's snapshot, if it has one."""
        ...

    def remove_orphans(self, space_ids: Iterable[int]) -> list[str]:
        """Delete snapshot folders whose space is not in ``space_ids``; return the folders' names."""
        ...


class SnapshotHelper(Protocol):
    """Saves the indexes of the running gateway, outside the gateway's process."""

    async def run(self) -> list[Saved]:
        """Save every index that has changed, and return what was saved.

        Raises:
            StorageUnavailable: the indexes could not be saved. The previous snapshots are untouched.
        """
        ...
