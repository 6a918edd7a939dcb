"""Builds an FTS5 expression from a query's terms: pure functions.

The expression is an OR of quoted terms, which BM25 ranks. FTS5 reads no syntax inside quotation marks, and no term
contains a quotation mark.
"""

from collections.abc import Sequence

from tandem_gateway.analysis.terms import QueryTerm

MAX_WORDS = 256
"""Maximum number of different terms of a query to look up."""
MAX_TERMS = 64
"""Maximum number of terms in one expression, each with its stem."""
MAX_MATCHES = 100_000
"""Maximum sum of the documents that the terms of one expression match; each costs about 1.7 microseconds."""

# Up to this many matches, a term is cheap enough to keep, however common it is.
_FEW = 1000


def choose(frequencies: Sequence[tuple[QueryTerm, int]], documents: int) -> list[QueryTerm]:
    """Return the terms to search for, the rarest first.

    A term in more than half of the documents has no weight in BM25: its inverse document frequency would be negative,
    and FTS5 uses a millionth instead. Its matches also cost the most. The function therefore drops such terms if there
    are others. It takes the rarest of the rest, which are the most specific, until they match ``MAX_MATCHES`` together.

    Args:
        frequencies: (term, number of documents with the term or its stem), in the order of the query.
        documents: number of documents in the collection.
    """
    there = sorted((item for item in frequencies if item[1]), key=lambda item: item[1])
    telling = [item for item in there if item[1] <= max(_FEW, documents // 2)]
    chosen: list[QueryTerm] = []
    matches = 0
    for term, count in telling or there:
        matches += count
        if chosen and (matches > MAX_MATCHES or len(chosen) == MAX_TERMS):
            break
        chosen.append(term)
    return chosen


def expression(terms: Sequence[QueryTerm]) -> str:
    """Return the FTS5 expression that matches documents with at least one of the terms; ``terms`` must not be empty."""
    exact = [f'exact : "{term.exact}"' for term in terms]
    stems = [f'stem : "{stem}"' for stem in dict.fromkeys(term.stem for term in terms) if stem]
    return " OR ".join(exact + stems)
