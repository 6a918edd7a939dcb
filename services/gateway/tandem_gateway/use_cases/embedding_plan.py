"""Decides how a request for vectors reaches the embedder: a pure function of its texts."""

from collections.abc import Iterator, Sequence
from typing import Final

from tandem_contract.embed import Kind, Priority

SMALL_TEXTS: Final = 32
SMALL_CHARS: Final = 16_384
"""A request of more texts or more characters goes by the bulk lane, where it delays no search."""


def lane(texts: Sequence[str], kind: Kind) -> Priority:
    """Return the lane of a request: ``interactive`` for a small one, whose texts share calls with other queries.

    Texts of the kind ``document`` always take the bulk lane, because the calls of queries have the prompt of queries.
    """
    small = kind == "query" and len(texts) <= SMALL_TEXTS and sum(map(len, texts)) <= SMALL_CHARS
    return "interactive" if small else "bulk"


def divide(texts: Sequence[str], most_texts: int, most_chars: int) -> Iterator[slice]:
    """Yield consecutive parts of the texts, which together are all of them; each part is one embedder call.

    Args:
        texts: the texts.
        most_texts: maximum number of texts in a part, at least 1.
        most_chars: maximum number of characters in a part; a longer text is a part of its own.
    """
    begin, chars = 0, 0
    for place, text in enumerate(texts):
        if place > begin and (place - begin == most_texts or chars + len(text) > most_chars):
            yield slice(begin, place)
            begin, chars = place, 0
        chars += len(text)
    if begin < len(texts):
        yield slice(begin, len(texts))
