"""HNSW graphs by usearch. The only module that imports usearch.

A graph stores its vectors as float16, which halves their memory. The scores that clients see are computed in float32
from the store's vectors. Only the choice of candidates is approximate.

The first graph loads usearch. A gateway whose collections are small needs no graph: it starts 50 ms faster, and takes
3 MiB less memory.
"""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from usearch.index import BatchMatches, Index, Matches

from tandem_gateway.records.arrays import Keys, Vectors

_CONNECTIVITY: Final = 16
_EXPANSION_ADD: Final = 128
_DTYPE: Final = "f16"


def _empty(dim: int) -> "Index":
    from usearch.index import Index  # noqa: PLC0415 - see the module

    # Vectors have unit length. Their inner product is the cosine, and needs no divisions.
    return Index(ndim=dim, metric="ip", dtype=_DTYPE, connectivity=_CONNECTIVITY, expansion_add=_EXPANSION_ADD)


class UsearchGraph:
    """Implements ``Graph``. Every call runs in one thread: with several, an addition may leave nodes unreachable."""

    def __init__(self, index: "Index") -> None:
        self._index = index

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self._index.ndim)

    def __len__(self) -> int:
        return len(self._index)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; see ``Graph.add``."""
        if len(keys):
            self._index.add(keys, np.ascontiguousarray(vectors), threads=1)

    def search(self, queries: Vectors, count: int, effort: int) -> list[dict[int, float]]:
        """Return the nearest keys of each query; see ``Graph.search``."""
        held = len(self._index)
        if held == 0 or len(queries) == 0:
            return [{} for _ in queries]
        self._index.expansion_search = effort  # type: ignore[misc]  # has a setter that mypy does not see
        matches: Matches | BatchMatches = self._index.search(queries, min(count, held), threads=1)
        counts = getattr(matches, "counts", None)
        if counts is None:  # for a batch of one, usearch returns no counts
            return [_scored(matches.keys, matches.distances)]
        return [
            _scored(keys[:found], distances[:found])
            for keys, distances, found in zip(matches.keys, matches.distances, counts, strict=True)
        ]

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return for each key whether the graph has it."""
        return np.asarray(self._index.contains(keys), np.bool_).reshape(-1)

    def keys(self) -> Keys:
        """Return every key."""
        return np.asarray(self._index.keys, np.uint64)

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of existing keys; see ``Graph.vectors``."""
        return np.asarray(self._index.get(keys), np.float32).reshape(len(keys), self.dim)

    def save(self, path: Path) -> None:
        """Write the graph to a file; holds the GIL for the whole duration."""
        self._index.save(str(path))


def _scored(keys: npt.NDArray[np.uint64], distances: npt.NDArray[np.float32]) -> dict[int, float]:
    # usearch's distance for inner products is 1 minus the product.
    return dict(zip(keys.reshape(-1).tolist(), (1 - distances.reshape(-1)).tolist(), strict=True))


class UsearchGraphFactory:
    """Implements ``GraphFactory``."""

    def create(self, dim: int) -> UsearchGraph:
        """Return an empty graph."""
        return UsearchGraph(_empty(dim))

    def load(self, path: Path, dim: int, *, writable: bool) -> UsearchGraph:
        """Return the graph in a verified file; see ``GraphFactory.load``."""
        index = _empty(dim)
        try:
            if writable:
                index.load(str(path))
            else:
                index.view(str(path))
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        if int(index.ndim) != dim:
            raise ValueError(f"{path.name} holds vectors of {index.ndim} numbers, not {dim}")
        return UsearchGraph(index)

    def description(self) -> str:
        """Return library, version, number type and parameters; see ``GraphFactory.description``."""
        return f"usearch {version('usearch')} ip {_DTYPE} M={_CONNECTIVITY} efc={_EXPANSION_ADD}"
