"""Exact search: compares every query with each of the vectors that no graph holds or finds.

For a few queries, the search reads a float16 copy of the vectors first. Memory outside the core's cache dominates the
cost of such a search: its own reads, and the other data that they evict. The float32 vectors then decide among the rows
that may be nearest.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, TypeVar

import numkong
import numpy as np
import numpy.typing as npt

from tandem_gateway.records.arrays import Keys, Vectors

Scores = npt.NDArray[np.float64]
"""``(n,) float64``: cosines of unit vectors, rounded to ``SCORE_DECIMALS``."""

Scalar = TypeVar("Scalar", bound=np.generic)

SCORE_DECIMALS: Final = 6
"""Digits of a score after the point. Vectors are float32 with about seven digits, and two embeddings of one text differ
by about 1e-8. Scores that are equal in these digits tie."""

# Twice the error of a product in float32, plus the step of a rounded score. A row this far below the last score that
# counts cannot tie with it.
_FLOAT32_MARGIN: Final = 3e-6
# The same for float16. Rounding changes a component by at most 2^-11 of its value. By the Cauchy-Schwarz inequality,
# the cosine of two unit vectors is then wrong by at most 2 * 2^-11. The 2e-5 allows for rounding in between.
_FLOAT16_MARGIN: Final = 2 * (2 * 2**-11 + 2e-5)
_FIRST_CAPACITY: Final = 64
_BLOCK_ROWS: Final = 2048
# From this many queries on, one product of two float32 matrices is faster, although it first copies the larger matrix
# into another order. For 1,400 vectors, 16 queries take 425 us this way; one query takes 41 us in float16 and 50 us in
# float32.
_MANY_QUERIES: Final = 12
# Maximum number of extra keys that a search returns unsorted. The caller reads and scores the rows of all of them.
_SPARE: Final = 32


def exact_scores(vectors: Vectors, query: Vectors) -> Scores:
    """Return the cosine of each row with a query.

    The sums are in float64, so that a row's score does not depend on the other rows.

    Args:
        vectors: ``(n, dim) float32``, rows of unit length.
        query: ``(dim,) float32`` of unit length.
    """
    scores: Scores = (vectors.astype(np.float64) @ query.astype(np.float64)).round(SCORE_DECIMALS)
    # Rounding errors can lift the cosine of a vector with itself above 1. Adding 0.0 turns -0.0 into 0.0.
    np.minimum(scores, 1.0, out=scores)
    np.maximum(scores, -1.0, out=scores)
    scores += 0.0
    return scores


class ExactOverlay:
    """Keys and their vectors in one array. One thread at a time may use it."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._count = 0
        self._keys: Keys = np.empty(_FIRST_CAPACITY, np.uint64)
        self._vectors: Vectors = np.empty((_FIRST_CAPACITY, dim), np.float32)
        self._halves: npt.NDArray[np.float16] = np.empty((_FIRST_CAPACITY, dim), np.float16)
        self._places: dict[int, int] = {}

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def keys(self) -> Keys:
        """Return a copy of the keys, ``(n,) uint64``, in no particular order."""
        return self._keys[: self._count].copy()

    def vectors(self, keys: Sequence[int]) -> Vectors:
        """Return the vectors of keys, ``(n, dim) float32``; the overlay must hold every key."""
        return self._vectors[[self._places[key] for key in keys]]

    def add(self, keys: Keys, vectors: Vectors) -> int:
        """Add vectors and return how many keys are new; a key that the overlay already holds keeps its vector.

        Args:
            keys: ``(n,) uint64``.
            vectors: ``(n, dim) float32``, rows of unit length.
        """
        self._reserve(self._count + len(keys))
        before = self._count
        for key, vector in zip(keys.tolist(), vectors, strict=True):
            if key in self._places:
                continue
            self._keys[self._count] = key
            self._vectors[self._count] = vector
            self._halves[self._count] = vector
            self._places[key] = self._count
            self._count += 1
        return self._count - before

    def remove(self, key: int) -> bool:
        """Remove a key and return whether the overlay held it."""
        place = self._places.pop(key, None)
        if place is None:
            return False
        last = self._count - 1
        if place != last:  # the last row moves here
            self._keys[place] = self._keys[last]
            self._vectors[place] = self._vectors[last]
            self._halves[place] = self._halves[last]
            self._places[int(self._keys[last])] = place
        self._count = last
        return True

    def search(self, queries: Vectors, count: int) -> list[tuple[Keys, Vectors]]:
        """Return for each query keys that include its nearest ``count``, with their cosines, in no particular order.

        The cosines are float32 and may be wrong by about 1e-7. The result therefore has more keys than ``count`` if
        others are that near to the last. If there are too many, it has only the nearest ``count`` by ``exact_scores``;
        ties are ordered by ascending key.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            count: at least 1.
        """
        if count >= self._count:
            vectors = self._vectors[: self._count]
            return [(self.keys(), row) for row in queries @ vectors.T]
        if len(queries) < _MANY_QUERIES:
            return [self._search_one(query, count) for query in queries]
        products = queries @ self._vectors[: self._count].T
        # One call for all queries: each call releases the interpreter's lock and has to wait to get it back.
        last = self._count - count
        least = np.partition(products, last, axis=1)[:, last] - _FLOAT32_MARGIN
        rows, places = np.nonzero(products >= least[:, None])
        ends = np.searchsorted(rows, np.arange(len(queries) + 1)).tolist()
        found = []
        for query, row, (start, end) in zip(queries, products, pairwise(ends), strict=True):
            near = places[start:end]
            found.append(self._found(query, near, row[near], count))
        return found

    def search_some(self, query: Vectors, count: int, held: npt.NDArray[np.bool_]) -> tuple[Keys, Vectors]:
        """Return keys as ``search`` does, for one query and among some of the keys.

        Args:
            query: ``(dim,) float32`` of unit length.
            count: at least 1.
            held: which of ``keys()`` to compare, ``(n,) bool``.
        """
        places = held.nonzero()[0]
        if 2 * len(places) > self._count:  # comparing all rows is faster than copying most of them
            products = (self._vectors[: self._count] @ query)[places]
        else:
            products = self._vectors[places] @ query
        if len(places) > count:
            near = _nearest_places(products, count, _FLOAT32_MARGIN)
            places, products = places[near], products[near]
        return self._found(query, places, products, count)

    def _search_one(self, query: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Search for one query; ``count`` is less than the number of vectors."""
        half = query.astype(np.float16)[None]
        (rough,) = np.asarray(numkong.cdist(half, self._halves[: self._count], "dot"))
        near = _nearest_places(rough, count, _FLOAT16_MARGIN)
        products = self._vectors[near] @ query
        if len(near) > count:
            within = _nearest_places(products, count, _FLOAT32_MARGIN)
            near, products = near[within], products[within]
        return self._found(query, near, products, count)

    def _found(self, query: Vectors, near: npt.NDArray[np.intp], products: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Return the keys and products of places; if far more than ``count``, only the nearest by exact scores."""
        if len(near) > count + _SPARE:
            kept = self._nearest(query, near, count)
            near, products = near[kept], products[kept]
        return self._keys[near], products

    def _nearest(self, query: Vectors, places: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
        """Return which of the places are the nearest ``count`` by exact scores, ties by ascending key."""
        # In blocks, to limit memory: many equal vectors are all candidates.
        scores = np.concatenate(
            [
                exact_scores(self._vectors[places[start : start + _BLOCK_ROWS]], query)
                for start in range(0, len(places), _BLOCK_ROWS)
            ]
        )
        return np.lexsort((self._keys[places], -scores))[:count]

    def _reserve(self, rows: int) -> None:
        capacity = len(self._keys)
        if rows <= capacity:
            return
        while capacity < rows:
            capacity += max(_FIRST_CAPACITY, capacity // 2)
        self._keys = _grown(self._keys, capacity)
        self._vectors = _grown(self._vectors, capacity)
        self._halves = _grown(self._halves, capacity)


def _nearest_places(products: npt.NDArray[np.floating], count: int, margin: float) -> npt.NDArray[np.intp]:
    """Return the places of the greatest ``count`` products, and of others within ``margin`` of the last."""
    last = len(products) - count
    ordered = products.copy()
    ordered.partition(last)
    places: npt.NDArray[np.intp] = (products >= ordered[last] - margin).nonzero()[0]
    return places


def _grown(array: npt.NDArray[Scalar], rows: int) -> npt.NDArray[Scalar]:
    """Return a copy of an array with ``rows`` rows; the new ones are uninitialised."""
    grown = np.empty((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
