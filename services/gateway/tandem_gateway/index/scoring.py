"""Scores the candidates of a query exactly, by the float32 vectors of the index or the store."""

from collections.abc import Mapping, Sequence

import numpy as np

from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.first_passages import FirstPassages
from tandem_gateway.index.overlay import exact_scores
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.search import RankedPassage

_FLOAT32 = np.dtype("<f4")


def ranked(query: Vectors, candidates: Candidates, vectors: Mapping[int, bytes], top_k: int) -> list[RankedPassage]:
    """Return the nearest passages by descending score. Ties are ordered by passage id, the order of insertion.

    The order does not depend on ``top_k``: a shorter list is a prefix of a longer one.

    Args:
        query: ``(dim,) float32`` of unit length.
        candidates: passages that include the nearest.
        vectors: of the passages, float32, little-endian, of unit length; not needed if ``candidates`` has them.
            Passages without a vector are left out.
        top_k: maximum number of passages.

    Raises:
        StorageCorrupt: a stored vector has another length than the query's.
    """
    keys, scores = _scored(query, candidates, vectors)
    order = sorted([(-score, key) for key, score in zip(keys, scores, strict=True)])
    return [RankedPassage(key, -negative, -negative) for negative, key in order[:top_k]]


def ranked_documents(
    query: Vectors, candidates: Candidates, vectors: Mapping[int, bytes], firsts: FirstPassages, top_k: int
) -> list[RankedPassage]:
    """Return the documents of the nearest passages, each with its nearest one, by descending score.

    Documents tie in the order of their first passages, which is the order of insertion.

    Args:
        query: as for ``ranked``.
        candidates: as for ``ranked``.
        vectors: as for ``ranked``.
        firsts: tells the document of each passage.
        top_k: maximum number of documents.

    Raises:
        StorageCorrupt: as ``ranked``.
    """
    keys, scores = _scored(query, candidates, vectors)
    # A few hundred passages for a few documents: arrays are ten times as fast as a record for each passage.
    passages, cosines = np.array(keys, np.uint64), np.array(scores)
    order = np.lexsort((passages, -cosines))
    documents, places = np.unique(firsts.of(passages)[order], return_index=True)
    best = order[places]
    top = np.lexsort((documents, -cosines[best]))[:top_k]
    best = best[top]
    found = zip(documents[top].tolist(), cosines[best].tolist(), passages[best].tolist(), strict=True)
    return [RankedPassage(first, score, dense=score, nearest=passage) for first, score, passage in found]


def _scored(
    query: Vectors, candidates: Candidates, vectors: Mapping[int, bytes]
) -> tuple[Sequence[int], Sequence[float]]:
    """Return the passages that have a vector, and their scores; see ``ranked``."""
    keys = candidates.keys if candidates.vectors is not None else [key for key in candidates.keys if key in vectors]
    if not keys:
        return [], []
    if candidates.vectors is not None:
        matrix = candidates.vectors
    else:
        for key in keys:
            if len(vectors[key]) != query.nbytes:
                raise _damaged(key, len(vectors[key]), query.nbytes)
        matrix = np.frombuffer(b"".join([vectors[key] for key in keys]), _FLOAT32).reshape(len(keys), -1)
    scores: list[float] = exact_scores(matrix, query).tolist()
    if candidates.alike:
        # Vectors that differ only by noise tie.
        by_key = dict(zip(keys, scores, strict=True))
        scores = [by_key.get(candidates.alike.get(key, key), by_key[key]) for key in keys]
    return keys, scores


def vector_of(passage_id: int, stored: bytes, dim: int | None) -> Vectors:
    """Return the vector of a passage, ``(dim,) float32``, from its bytes in the store.

    Raises:
        StorageCorrupt: it has another length.
    """
    if dim is None or len(stored) != dim * _FLOAT32.itemsize:
        raise _damaged(passage_id, len(stored), (dim or 0) * _FLOAT32.itemsize)
    return np.frombuffer(stored, _FLOAT32).astype(np.float32, copy=False)


def _damaged(passage_id: int, found: int, expected: int) -> StorageCorrupt:
    return StorageCorrupt(
        f"vectors: the vector of passage {passage_id} has {found} bytes, not {expected}; "
        "run `python -m tandem_gateway verify`, then put back a backup or ingest the document again"
    )
