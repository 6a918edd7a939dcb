"""The documents nearest to vectors in one space, for comparisons of spaces. Searches use ``retrieval``."""

from tandem_gateway.index.first_passages import passages_to_find
from tandem_gateway.index.followed import FollowedIndex
from tandem_gateway.index.scoring import ranked, ranked_documents
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.arrays import Vectors

# How many times as many passages to find as documents need on average, where documents have several.
_WIDENING = 4


def nearest(followed: FollowedIndex, feed: IndexFeed, space_id: int, vectors: Vectors, count: int) -> list[list[int]]:
    """Return the first passages of the documents nearest to each vector, the nearest first.

    Args:
        followed: the index of the space.
        feed: the store, for the exact vectors.
        space_id: the space.
        vectors: ``(n, dim) float32`` of unit length.
        count: maximum number of documents for each. There may be fewer where documents have many passages.
    """
    if not len(followed.index):
        return [[] for _ in vectors]
    several = len(followed.firsts)
    passages = passages_to_find(count, len(followed.index), several, _WIDENING) if several else count
    found: list[list[int]] = []
    for vector, candidates in zip(vectors, followed.index.search(vectors, passages), strict=True):
        stored = feed.vectors(space_id, sorted(candidates.keys)) if candidates.vectors is None else {}
        if several:
            documents = ranked_documents(vector, candidates, stored, followed.firsts, count)
        else:
            documents = ranked(vector, candidates, stored, count)
        found.append([each.passage_id for each in documents])
    return found
