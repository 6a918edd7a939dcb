"""Builds FTS5 expressions from a query's terms: pure functions.

The expression to rank by is an OR of quoted terms. FTS5 reads no syntax inside quotation marks, and no term
contains a quotation mark.
"""

from collections.abc import Sequence

from tandem_gateway.adapters.sqlite.lexical.bm25 import K1, inverse_frequency
from tandem_gateway.analysis.query_syntax import Literal
from tandem_gateway.analysis.terms import QueryTerm

Term = QueryTerm | Literal
"""A part of a query that scores a document."""

MAX_WORDS = 256
"""Maximum number of different terms of a query to look up."""
MAX_TERMS = 64
"""Maximum number of terms in one expression, each with its stem."""
MAX_MATCHES = 100_000
"""Maximum sum of the documents that the terms of one expression match; each costs about 1.7 microseconds."""

# BM25 weights of the exact form and the stem: documents with the exact form rank above others with the same stem.
STEM_WEIGHT = 0.5
# What a term contributes that occurs once, as itself and as its stem, in units of its inverse document frequency.
_ONCE_BOTH = 1.0 + STEM_WEIGHT * (K1 + 1) / (STEM_WEIGHT + K1)
# Up to this many matches, a term is cheap enough to keep, however common it is.
_FEW = 1000


def choose(frequencies: Sequence[tuple[Term, int]], documents: int, needed: Sequence[Term] = ()) -> list[Term]:
    """Return the terms to search for, the rarest first.

    A term in more than half of the documents has no weight in BM25: its inverse document frequency would be negative,
    and FTS5 uses a millionth instead. Its matches also cost the most. The function therefore drops such terms if there
    are others. It takes the rarest of the rest, which are the most specific, until they match ``MAX_MATCHES`` together.

    Args:
        frequencies: (term, number of documents with the term or its stem), in the order of the query.
        documents: number of documents in the collection.
        needed: terms that are searched for in any case.
    """
    there = sorted((item for item in frequencies if item[1]), key=lambda item: item[1])
    telling = [item for item in there if item[1] <= max(_FEW, documents // 2)]
    chosen: list[Term] = []
    matches = 0
    for term, count in telling or there:
        matches += count
        if chosen and (matches > MAX_MATCHES or len(chosen) == MAX_TERMS):
            break
        chosen.append(term)
    return [*chosen, *(term for term in needed if term not in chosen)]


def weight(frequencies: Sequence[tuple[Term, int]], documents: int) -> float:
    """Return the BM25 score of a passage of average length that has each of the query's terms once.

    Terms that no passage has count as well, and most: a passage that lacks the telling terms of a query gets a small
    share of this score. FTS5 computes BM25 with k1 = 1.2 and b = 0.75, and an inverse document frequency of at least
    a millionth (https://www.sqlite.org/fts5.html, "The bm25() function").

    Args:
        frequencies: as in ``choose``.
        documents: number of documents in the collection.
    """
    return sum(
        inverse_frequency(count, documents) * (_ONCE_BOTH if term.stem else 1.0)
        for term, count in frequencies
        if count <= documents
    )


def expression(terms: Sequence[Term]) -> str:
    """Return the FTS5 expression that matches documents with at least one of the terms; ``terms`` must not be empty."""
    exact = [literal_expression(each) if isinstance(each, Literal) else f'exact : "{each.exact}"' for each in terms]
    stems = [f'stem : "{stem}"' for stem in dict.fromkeys(term.stem for term in terms) if stem]
    return " OR ".join(exact + stems)


def literal_expression(literal: Literal) -> str:
    """Return the FTS5 expression that matches documents with a literal."""
    sequence = "exact : " + " + ".join(f'"{word}"' for word in literal.words) + (" *" if literal.prefix else "")
    return "(" + " AND ".join([sequence, *(f'exact : "{name}"' for name in literal.names)]) + ")"
