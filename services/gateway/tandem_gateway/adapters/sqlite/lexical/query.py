"""From a query's terms to an FTS5 expression: pure functions.

The expression is an OR of quoted terms, which BM25 ranks. Quoted, nothing in a term is syntax, and no term has a
quotation mark in it.
"""

from collections.abc import Sequence

from tandem_gateway.analysis.terms import QueryTerm

MAX_WORDS = 256
"""Different terms of a query that are looked up."""
MAX_TERMS = 64
"""Terms of one expression, each with its stem."""
MAX_MATCHES = 100_000
"""Documents that the terms of one expression match in sum; at about 1.7 microseconds each."""

# So many documents cost nothing worth saving.
_FEW = 1000


def choose(frequencies: Sequence[tuple[QueryTerm, int]], documents: int) -> list[QueryTerm]:
    """Return the terms to search for, the rarest first.

    A term in more than half of the documents has no weight in BM25 (FTS5 takes a millionth for its inverse document
    frequency, which would be negative), and its matches cost the most: it is left out if there are others. Of the rest,
    the rarest are taken until together they match ``MAX_MATCHES``: they tell the most about what is meant.

    Args:
        frequencies: (term, documents that it or its stem is in), in the order of the query.
        documents: in the collection.
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
    """Return the FTS5 expression that matches every document with one of the terms; there must be one."""
    exact = [f'exact : "{term.exact}"' for term in terms]
    stems = [f'stem : "{stem}"' for stem in dict.fromkeys(term.stem for term in terms) if stem]
    return " OR ".join(exact + stems)
