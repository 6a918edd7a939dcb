"""Selects the passages that a keyword search returns: the best ones that the store may show.

The index can have passages that a search must not show: deleted ones whose removal is not applied yet, and pending
versions of documents that are live. A search asks the index for some more passages and leaves those out.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.literals import are_among
from tandem_gateway.analysis.query_syntax import ParsedQuery, has_signs
from tandem_gateway.ports.text_log import TextLog
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.search import KeywordCandidates, RankedPassage

# Number of extra hits to request, to replace hits that no longer exist.
_SPARE_HITS = 20
# Limits of a search in memory: the length of its query, and the postings that it scores.
_IN_MEMORY_CHARS = 256
_IN_MEMORY_POSTINGS = 10_000


def select(
    cache: LexicalCache,
    log: TextLog,
    record: CollectionRecord,
    asked: ParsedQuery,
    count: int,
    out_of_time: Callable[[], bool],
    among: Keys | None,
) -> KeywordCandidates:
    """Return up to ``count`` passages that match a query.

    Args:
        cache: of the index, which has every passage of the collection.
        log: reads the store.
        record: of the collection.
        asked: the query.
        count: maximum number of passages.
        out_of_time: whether to stop.
        among: the passages that may be returned, ascending; None for all.

    Raises:
        DeadlineExceeded, CacheUnusable, StorageUnavailable: see ``LexicalSearcher.search``.
    """
    if asked.only_exclusions:
        return KeywordCandidates([], 0.0)
    constraint = cache.searcher.constraint(record.collection_id, asked, out_of_time)
    # Passages to skip: deleted ones that are still in the index, and pending versions of live documents.
    indexed = cache.count(record.collection_id)
    gone = max(0, indexed - record.live)
    ranked: list[RankedPassage] = []
    weight = 0.0

    def kept(keys: Keys) -> npt.NDArray[np.bool_]:
        stay = constraint.kept(keys)
        return stay if among is None else stay & are_among(keys, among)

    selects = kept if among is not None or asked.constrained else None
    for spare in sorted({min(gone, count + _SPARE_HITS), gone}):
        found, weight = cache.searcher.search(record.collection_id, asked, count + spare, out_of_time, selects)
        # With as many passages as there are live documents, the index has no passage that must not be shown.
        ranked = _ranked(found, count) if indexed == record.live else _findable(log, found, count)
        if len(ranked) == count or len(found) < count + spare:
            break
    return KeywordCandidates(ranked, weight)


def select_in_memory(
    cache: LexicalCache, record: CollectionRecord, query: str, count: int, among: Keys | None
) -> KeywordCandidates | None:
    """Return what ``select`` does if that reads nothing and takes less than about a millisecond, else None.

    Args:
        cache: of the index, which has every passage of the collection.
        record: of the collection.
        query: text of the query.
        count: maximum number of passages.
        among: as for ``select``.
    """
    if len(query) > _IN_MEMORY_CHARS or has_signs(query) or cache.count(record.collection_id) != record.live:
        return None
    kept = None if among is None else (lambda keys: are_among(keys, among))
    found = cache.searcher.search_in_memory(record.collection_id, query, count, _IN_MEMORY_POSTINGS, kept)
    return None if found is None else KeywordCandidates(_ranked(found.rows, count), found.weight)


def _findable(log: TextLog, found: list[tuple[int, float]], count: int) -> list[RankedPassage]:
    """Return the first ``count`` passages that keyword search may show."""
    ranked: list[RankedPassage] = []
    start = 0
    while start < len(found) and len(ranked) < count:
        page = found[start : start + count - len(ranked)]
        start += len(page)
        shown = log.findable([passage_id for passage_id, _ in page])
        ranked += _ranked([each for each in page if each[0] in shown], count)
    return ranked


def _ranked(found: Sequence[tuple[int, float]], count: int) -> list[RankedPassage]:
    return [RankedPassage(key, score, None, score) for key, score in found[:count]]
