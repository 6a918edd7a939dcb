"""The gateways under test, and what its vectors have to be like."""

import math
import os
from collections.abc import Sequence

URL = os.environ["TANDEM_TEST_URL"]
GUARDED_URL = os.environ["TANDEM_TEST_GUARDED_URL"]
"""A gateway with access control."""
KEY = os.environ["TANDEM_TEST_KEY"]
"""The API key of this gateway, with the role ``search``."""
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DIM = 384
LONG = "some words of a long text " * 100
"""Longer than the model's limit."""
TEXTS = ["a pet on a rug", "The cat sat on the mat.", "Steep the leaves for three minutes."]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors."""
    lengths = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths


def check(vectors: Sequence[Sequence[float]]) -> None:
    """Check that these are the vectors of ``TEXTS``: of unit length, and the two about a cat nearest."""
    assert [len(vector) for vector in vectors] == [DIM] * len(TEXTS)
    for vector in vectors:
        assert abs(cosine(vector, vector) - 1) < 1e-6
        assert abs(math.sqrt(sum(x * x for x in vector)) - 1) < 1e-3
    assert cosine(vectors[0], vectors[1]) > 0.3 > cosine(vectors[0], vectors[2])
