"""From what a person typed to an FTS5 expression: pure functions.

The expression is an OR of quoted words, which BM25 ranks. Quoted, nothing in a word is syntax; FTS5's tokenizer takes
it apart and stems it as it did the documents.
"""

import re
from collections.abc import Sequence

MAX_WORDS = 256
"""Different words of a query that are looked at."""
MAX_TERMS = 64
"""Words of one expression."""
MAX_MATCHES = 100_000
"""Documents that the words of one expression match in sum; at about 1.7 microseconds each."""

# Letters and digits, and the marks that the tokenizer takes for part of a letter. An underscore separates.
_WORD = re.compile(r"(?:[^\W_]|[\u0300-\u036f])+")
# So many documents cost nothing worth saving.
_FEW = 1000


def words_of(text: str) -> list[str]:
    """Return the different words of a text in its order, ``MAX_WORDS`` at the most; none of "!!!"."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text):
        found[match[0].lower()] = None
        if len(found) == MAX_WORDS:
            break
    return list(found)


def choose(frequencies: Sequence[tuple[str, int]], documents: int) -> list[str]:
    """Return the words to search for, the rarest first.

    A word in more than half of the documents has no weight in BM25 (FTS5 takes a millionth for its inverse document
    frequency, which would be negative), and its matches cost the most: it is left out if there are others. Of the rest,
    the rarest are taken until together they match ``MAX_MATCHES``: they tell the most about what is meant.

    Args:
        frequencies: (word, documents that it is in), in the order of the query.
        documents: in the collection.
    """
    there = sorted((item for item in frequencies if item[1]), key=lambda item: item[1])
    telling = [item for item in there if item[1] <= max(_FEW, documents // 2)]
    chosen: list[str] = []
    matches = 0
    for word, count in telling or there:
        matches += count
        if chosen and (matches > MAX_MATCHES or len(chosen) == MAX_TERMS):
            break
        chosen.append(word)
    return chosen


def expression(words: Sequence[str]) -> str:
    """Return the FTS5 expression that matches whatever has one of the words; there must be one."""
    return " OR ".join(f'"{word}"' for word in words)
