"""BM25 as FTS5 computes it, over arrays: pure functions.

FTS5 adds up a term after the other, in float64 (``fts5Bm25Function`` in ``fts5_aux.c``). The same operations in the
same order give the same bits.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

K1: Final = 1.2
B: Final = 0.75
LEAST_FREQUENCY: Final = 1e-6
"""The inverse document frequency of a term in half of the passages or more."""

Scores = npt.NDArray[np.float64]
List = tuple[npt.NDArray[np.int32], npt.NDArray[Any], float]
"""Rows of the passages with a term, ``(n,)``; how often each has it, ``(n,)``; and the weight of an occurrence."""


def inverse_frequency(matches: int, passages: int) -> float:
    """Return the weight of a term that ``matches`` of the passages have."""
    weight = math.log((passages - matches + 0.5) / (matches + 0.5))
    return weight if weight > 0.0 else LEAST_FREQUENCY


def average_length(lengths: npt.NDArray[np.int32]) -> float:
    """Return the average number of terms of a passage; 0 without passages."""
    return float(lengths.sum(dtype=np.int64)) / len(lengths) if len(lengths) else 0.0


def scores(lists: Sequence[List], lengths: npt.NDArray[np.int32], average: float) -> Scores:
    """Return the score of each passage, ``(m,) float64``; 0 for a passage without any of the terms.

    Args:
        lists: of the query's terms, at least one, in the order of the query.
        lengths: number of terms in each passage, ``(m,)``.
        average: see ``average_length``.
    """
    sizes = [len(rows) for rows, _, _ in lists]
    rows = np.concatenate([rows for rows, _, _ in lists])
    often = np.concatenate([counts for _, counts, _ in lists], dtype=np.float64)
    often *= np.repeat([weight for _, _, weight in lists], sizes)
    parts = np.repeat([inverse_frequency(size, len(lengths)) for size in sizes], sizes)
    # parts * ((often * (K1 + 1)) / (often + K1 * (1 - B + B * length / average))), in place: to make arrays for what is
    # in between takes about as long as the numbers.
    below = lengths.take(rows).astype(np.float64)
    below *= B
    below /= average
    below += 1.0 - B
    below *= K1
    below += often
    often *= K1 + 1.0
    often /= below
    parts *= often
    # It adds up in the order of the arrays.
    found: Scores = np.bincount(rows, parts, len(lengths)).astype(np.float64, copy=False)
    return found


def best(found: Scores, limit: int) -> npt.NDArray[np.intp]:
    """Return the places of the highest scores, the highest first; equal scores in the order of their places."""
    if len(found) <= limit:
        return np.argsort(-found, kind="stable")
    last = len(found) - limit
    places = (found >= np.partition(found, last)[last]).nonzero()[0]
    order = np.argsort(-found[places], kind="stable")[:limit]
    highest: npt.NDArray[np.intp] = places[order]
    return highest


def decoded_varints(encoded: bytes) -> npt.NDArray[np.int64]:
    """Return numbers from SQLite's format for integers of variable length, of 8 bytes at most each.

    The high bit of each byte tells whether another follows; the others are seven bits, the highest first.
    """
    data = np.frombuffer(encoded, np.uint8)
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    numbers = np.zeros(len(ends), np.int64)
    longest = int((ends - starts).max(initial=-1)) + 1
    for place in range(longest):
        there = starts + place <= ends
        numbers[there] = (numbers[there] << 7) | (data[starts[there] + place] & 0x7F)
    return numbers
