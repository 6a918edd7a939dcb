"""Turns candidates into hits: reads the rows of live documents, through an LRU cache, and scores them."""

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
import numpy as np

from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.overlay import exact_scores
from tandem_gateway.ports.store import ChangeFeed
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.documents import LiveDocument
from tandem_gateway.records.search import Hit
from tandem_runtime.memory import memory_bytes, utf8_bytes

_FLOAT32 = np.dtype("<f4")
# Estimated size of Python's objects around the values of a row.
_OVERHEAD_BYTES = 600


class DocumentCache:
    """LRU cache of the rows of live documents. One thread at a time may use it.

    Rows are immutable and passage ids are never reused, so a cached row never goes stale. Deleted rows need no
    invalidation: callers only ask for passage ids that an index just returned.
    """

    def __init__(self, capacity: int) -> None:
        """Make an empty cache; ``capacity`` is the approximate maximum in bytes."""
        self._capacity = capacity
        self._kept: OrderedDict[int, LiveDocument] = OrderedDict()
        self._bytes = 0

    def kept(self, wanted: Mapping[int, bool]) -> dict[int, LiveDocument] | None:
        """Return the rows if all of them are cached, else None; see ``get``. Reads nothing from the store."""
        found, missing = self._look_up(wanted)
        return None if missing else found

    def get(self, wanted: Mapping[int, bool], feed: ChangeFeed, max_bytes: int) -> dict[int, LiveDocument]:
        """Return rows from the cache or the store, by passage id. Rows that the store does not have are missing.

        Args:
            wanted: passage id → whether the row needs its vector. The cache keeps no vector that nobody needs.
            feed: reads the rows that the cache lacks.
            max_bytes: maximum size of all texts and metadata.

        Raises:
            TooManyBytes: if the rows take more than ``max_bytes``.
            StorageError: as ``ChangeFeed.documents`` does.
        """
        found, missing = self._look_up(wanted)
        if missing:
            taken = sum(utf8_bytes(row.text) + utf8_bytes(row.metadata) for row in found.values())
            for passage_id, row in feed.documents(sorted(missing), max_bytes - taken).items():
                found[passage_id] = row if wanted[passage_id] else msgspec.structs.replace(row, vector=b"")
                self._keep(found[passage_id])
        return found

    def _look_up(self, wanted: Mapping[int, bool]) -> tuple[dict[int, LiveDocument], list[int]]:
        """Return the cached rows, and the numbers of the other rows."""
        found: dict[int, LiveDocument] = {}
        missing = []
        for passage_id, with_vector in wanted.items():
            row = self._kept.get(passage_id)
            if row is None or (with_vector and not row.vector):
                missing.append(passage_id)
            else:
                self._kept.move_to_end(passage_id)
                found[passage_id] = row
        return found, missing

    def _keep(self, row: LiveDocument) -> None:
        replaced = self._kept.pop(row.passage_id, None)
        self._kept[row.passage_id] = row
        self._bytes += bytes_of(row) - (bytes_of(replaced) if replaced is not None else 0)
        while self._bytes > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= bytes_of(oldest)


def bytes_of(row: LiveDocument) -> int:
    """Return the approximate memory of a row in bytes; always the same for one row."""
    return memory_bytes(row.text) + memory_bytes(row.metadata) + len(row.vector) + _OVERHEAD_BYTES


def score(vector: Vectors, candidates: Candidates, rows: dict[int, LiveDocument], top_k: int) -> list[Hit]:
    """Return the nearest hits by descending score. Ties are ordered by passage id, which is the order of insertion.

    The order does not depend on ``top_k``: a shorter list is a prefix of a longer one.

    Args:
        vector: of the query, ``(dim,) float32`` of unit length.
        candidates: rows that include the nearest; candidates without a document are left out.
        rows: documents by passage id, with their vectors of unit length unless ``candidates`` has them.
        top_k: maximum number of hits.
    """
    found, places = [], []
    for place, key in enumerate(candidates.keys):
        row = rows.get(key)
        if row is not None:
            found.append(row)
            places.append(place)
    if not found:
        return []
    if candidates.vectors is not None:
        vectors = candidates.vectors[places]
    else:
        vectors = np.frombuffer(b"".join([row.vector for row in found]), _FLOAT32).reshape(len(found), -1)
    scores = dict(zip([row.passage_id for row in found], exact_scores(vectors, vector).tolist(), strict=True))
    for key, first in candidates.alike.items():
        # Vectors that differ only by noise tie.
        if key in scores and first in scores:
            scores[key] = scores[first]
    found.sort(key=lambda row: (-scores[row.passage_id], row.passage_id))
    return [Hit(row.doc_id, scores[row.passage_id], row.text, row.metadata) for row in found[:top_k]]
