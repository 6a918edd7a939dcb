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
    keys = candidates.keys if candidates.vectors is not None else [key for key in candidates.keys if key in vectors]
    if not keys:
        return []
    if candidates.vectors is not None:
        matrix = candidates.vectors
    else:
        for key in keys:
            if len(vectors[key]) != query.nbytes:
                raise _damaged(key, len(vectors[key]), query.nbytes)
        matrix = np.frombuffer(b"".join([vectors[key] for key in keys]), _FLOAT32).reshape(len(keys), -1)
    scores = dict(zip(keys, exact_scores(matrix, query).tolist(), strict=True))
    for key, first in candidates.alike.items():
        # Vectors that differ only by noise tie.
        if key in scores and first in scores:
            scores[key] = scores[first]
    order = sorted(scores.items(), key=lambda each: (-each[1], each[0]))
    return [RankedPassage(key, score, dense=score) for key, score in order[:top_k]]


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


def by_document(passages: Sequence[RankedPassage], firsts: FirstPassages, top_k: int) -> list[RankedPassage]:
    """Return the documents of ranked passages, each with its nearest passage, in the order of these passages.

    Documents tie in the order of their first passages, which is the order of insertion.

    Args:
        passages: by descending score.
        firsts: tells the document of each passage.
        top_k: maximum number of documents.
    """
    found: dict[int, RankedPassage] = {}
    for each, first in zip(passages, firsts.of([each.passage_id for each in passages]), strict=True):
        if first not in found:
            found[first] = each._replace(passage_id=first, nearest=each.passage_id)
    return sorted(found.values(), key=lambda each: (-each.score, each.passage_id))[:top_k]
