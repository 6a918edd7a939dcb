"""A synthetic corpus: documents of 30 to 90 words, drawn by Zipf's law from invented words.

The most frequent word is in nearly all documents. Document ``n`` also has a word of its own, ``own_word(n)``, so that a
test can look for one document.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

CATEGORIES: Final = 100
"""A document's category is its number modulo this."""

_VOCABULARY: Final = 200_000
_FEWEST, _MOST = 30, 90
_CONSONANTS: Final = "bdfgjklmnprtvz"
_VOWELS: Final = "aiou"
_PART: Final = 1_000
_QUERY_SEED: Final = 1 << 31


class Row(NamedTuple):
    """A document to index."""

    row_id: int
    category: int
    text: str


def word(rank: int) -> str:
    """Return the invented word of a rank; rank 0 is the most frequent. Its length grows with the rank."""
    syllables = []
    rank += len(_CONSONANTS) * len(_VOWELS)
    while rank:
        rank, rest = divmod(rank, len(_CONSONANTS) * len(_VOWELS))
        consonant, vowel = divmod(rest, len(_VOWELS))
        syllables.append(_CONSONANTS[consonant] + _VOWELS[vowel])
    return "".join(syllables)


@cache
def words() -> list[str]:
    """Return the words of all ranks."""
    return [word(rank) for rank in range(_VOCABULARY)]


def own_word(row_id: int) -> str:
    """Return the word that only this document has."""
    return f"own{row_id}"


def rows(first: int, count: int) -> list[Row]:
    """Return the documents with the numbers ``first`` to ``first + count - 1``; the same for each call."""
    found: list[Row] = []
    for part in range(first // _PART, -(-(first + count) // _PART)):
        found += [row for row in _part(part) if first <= row.row_id < first + count]
    return found


def _part(number: int) -> Iterator[Row]:
    rng = np.random.default_rng(number)
    lengths = rng.integers(_FEWEST, _MOST + 1, size=_PART)
    vocabulary = words()
    ranks = iter(_drawn(rng, int(lengths.sum())).tolist())
    for offset, length in enumerate(lengths.tolist()):
        row_id = number * _PART + offset
        drawn = [vocabulary[next(ranks)] for _ in range(length)]
        yield Row(row_id, row_id % CATEGORIES, " ".join([*drawn, own_word(row_id)]))


def _drawn(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Return ranks drawn by Zipf's law with exponent 1, by its continuous inverse."""
    return (np.power(float(_VOCABULARY + 1), rng.random(count)) - 1).astype(np.int64)


def queries(count: int) -> dict[str, list[str]]:
    """Return ``count`` queries of each kind."""
    rng = np.random.default_rng(_QUERY_SEED)
    # Content words: ranks from 100 on, each factor of ten as likely.
    content = [word(int(rank)) for rank in 100 * np.power(200.0, rng.random(3 * count))]
    drawn = [word(rank) for rank in _drawn(rng, 8 * count).tolist()]
    return {
        "1 word": content[:count],
        "1 word in nearly all": [word(0)] * count,
        "3 words, one in nearly all": [f"{content[2 * n]} {word(0)} {content[2 * n + 1]}" for n in range(count)],
        "8 words by frequency": [" ".join(drawn[8 * n : 8 * n + 8]) for n in range(count)],
    }


def phrases(count: int) -> list[str]:
    """Return pairs of neighbouring words of documents."""
    return [" ".join(row.text.split()[10:12]) for row in rows(0, count)]
