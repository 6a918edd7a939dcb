"""The cache of query vectors: the least recently used one is evicted, and a long query takes little memory."""

import numpy as np

from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.use_cases.vector_cache import QueryVectorCache
from tests.support.fakes import MODEL, vector_of, vectors_of


def found(text: str, coverage: Coverage = WHOLE) -> QueryVector:
    return QueryVector(vector_of(text), MODEL, "model", coverage)


def test_the_query_that_was_not_used_for_longest_is_forgotten():
    vectors = QueryVectorCache(2)
    for text in ("a", "b"):
        vectors.put(text, found(text))
    assert vectors.get("model", "a") is not None
    vectors.put("c", found("c"))
    assert [vectors.get("model", text) is not None for text in ("a", "b", "c")] == [True, False, True]
    assert vectors.get("other", "a") is None
    assert len(vectors) == 2
    none = QueryVectorCache(0)
    none.put("a", found("a"))
    assert none.get("model", "a") is None


def test_a_long_query_is_cached_under_its_hash_with_its_coverage():
    vectors = QueryVectorCache(2)
    long, other = "word " * 2_000, "word " * 2_000 + "."
    vectors.put(long, found(long, Coverage(truncated=True)))
    kept = vectors.get("model", long)
    assert kept is not None
    assert (kept.model, kept.coverage) == (MODEL, Coverage(truncated=True))
    assert ("model", long) in vectors
    assert vectors.get("model", other) is None
    assert sum(len(part) for key in vectors._vectors for part in key) < 100


def test_a_cached_vector_does_not_keep_the_vectors_of_its_call():
    together = vectors_of(["a", "b"])
    vectors = QueryVectorCache(2)
    vectors.put("a", QueryVector(together[0], MODEL, "model"))
    kept = vectors.get("model", "a")
    assert kept is not None
    assert kept.vector.base is None
    np.testing.assert_array_equal(kept.vector, together[0])
