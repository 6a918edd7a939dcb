"""Numbered synthetic unit vectors: the stub embedder answers a text with the vector of the number in it.

The vectors form clusters with noise, like texts with topics. Uniform random vectors would not test a graph, since all
of them are equally far from each other.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

DIM: Final = 384
CLUSTERS: Final = 2_000
NOISE: Final = 0.9
"""Standard deviation of the noise; that of the centres is 1."""

_PART: Final = 100_000
_QUERY_SEED: Final = 1

Vectors = npt.NDArray[np.float32]


def documents(count: int) -> npt.NDArray[np.float16]:
    """Return the vectors of documents 0 to ``count`` - 1, ``(count, DIM) float16``; they begin every longer list."""
    parts = [_part(_QUERY_SEED + 1 + number) for number in range(-(-count // _PART))]
    return np.concatenate(parts)[:count]


def queries(count: int) -> Vectors:
    """Return the vectors of queries, ``(count, DIM) float32``, from the same clusters; none is a document's."""
    return _part(_QUERY_SEED)[:count].astype(np.float32)


def _part(seed: int) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIM), dtype=np.float32)
    vectors = rng.standard_normal((_PART, DIM), dtype=np.float32) * NOISE
    vectors += centres[rng.integers(CLUSTERS, size=_PART)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16)


def recall(found: list[list[int]], vectors: npt.NDArray[np.float16], asked: Vectors) -> float:
    """Return the recall: the mean share of each query's nearest documents that a search found.

    Args:
        found: numbers of documents, row i for query i; all of the same length.
        vectors: ``documents(...)``.
        asked: ``(len(found), DIM)``.
    """
    depth = len(found[0])
    scores, numbers = np.empty((len(asked), 0), np.float32), np.empty((len(asked), 0), np.int64)
    for start in range(0, len(vectors), _PART):
        part = asked @ vectors[start : start + _PART].astype(np.float32).T
        scores = np.concatenate([scores, part], axis=1)
        numbers = np.concatenate([numbers, np.tile(np.arange(start, start + part.shape[1]), (len(asked), 1))], axis=1)
        nearest = np.argpartition(-scores, min(depth, scores.shape[1]) - 1, axis=1)[:, :depth]
        scores, numbers = np.take_along_axis(scores, nearest, axis=1), np.take_along_axis(numbers, nearest, axis=1)
    hits = sum(len(set(mine) & set(exact)) for mine, exact in zip(found, numbers.tolist(), strict=True))
    return hits / (len(found) * depth)
