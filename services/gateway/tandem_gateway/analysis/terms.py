"""Splits a text into terms.

=====================  ==============================================================================================
text                   terms
=====================  ==============================================================================================
words                  the word in lower case; if it has only ASCII letters, also its English stem
identifiers            the whole, its parts, and joined parts: ``getUserName`` → getusername, get, user, name, ...
codes, file names      the whole and its words: ``SKU-48200`` → sku-48200, sku, 48200
``C++``, ``C#``,       the whole and the word: c++, c
``.NET``
Chinese, Japanese,     pairs of neighbouring characters, and each character; there are no spaces between words
Thai, Lao, ...
Korean                 the word, its pairs and its characters, because particles are attached to words
emoji, symbols         each one
=====================  ==============================================================================================

Documents and queries get the same analysis, with one difference. A query looks up the pairs of a run of characters, and
a single character only if it stands alone. Otherwise every document with one of a word's characters would match.

A term has no white space, no quotation mark, and no ASCII character other than ``a-z 0-9 _ + # . -``. It has at most
``MAX_TERM_CHARS`` characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import Stemmer

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.scripts import (
    CJK,
    CJK_IDEOGRAPHS,
    HANGUL,
    MARKS,
    REGIONAL_INDICATORS,
    SOUTH_EAST_ASIAN,
    STACKERS,
    SYLLABLE_MARKS,
    SYMBOLS,
    UNSPACED,
)
from tandem_gateway.analysis.slices import slices

VERSION: Final = f"2/{unicodedata.unidata_version}/{Stemmer.version()}"
"""Version of the analysis. It changes whenever the terms of a text may change; the index must then be rebuilt."""

MAX_TERM_CHARS: Final = 128
"""Maximum length of a term; longer words are cut, in documents and queries alike."""


class Terms(NamedTuple):
    """The terms of a document, each as often as it occurs, in no particular order."""

    exact: list[str]
    stems: list[str]


class QueryTerm(NamedTuple):
    """A term of a query; ``stem`` is empty if the term has none."""

    exact: str
    stem: str


_ASCII_WORD: Final = re.compile("[a-z0-9]+")
_WORD: Final = re.compile(rf"[^\W_{UNSPACED}]+(?:[{MARKS}]+[^\W_{UNSPACED}]*)*")
_RUN: Final = re.compile(
    rf"([{CJK}{CJK_IDEOGRAPHS}]+)|([{HANGUL}]+)|([{SOUTH_EAST_ASIAN}]+)|([{REGIONAL_INDICATORS}]{{2}}|[{SYMBOLS}])"
)
# A letter with its marks and the consonants stacked under it.
_SYLLABLE: Final = re.compile(rf".(?:[{STACKERS}].|[{SYLLABLE_MARKS}{STACKERS}])*")

# The possessive quantifiers (++) keep the time linear: the search skips a word without a match in one pass.
_JOINED: Final = re.compile("(?<![A-Za-z0-9])[A-Za-z0-9]++(?:(?:_++|[.-])[A-Za-z0-9]++)++")
_HUMP: Final = re.compile("[A-Z](?:(?<=[a-z0-9][A-Z])|(?<=[A-Z][A-Z])(?=[a-z]))")
_CAMEL: Final = re.compile("(?<![A-Za-z0-9])(?=[A-Z]*+(?:[a-z0-9]++[A-Z]|(?<=[A-Z][A-Z])[a-z]))[A-Za-z0-9]++")
_CAMEL_PART: Final = re.compile("[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z0-9]+|[0-9]+")
_CONNECTOR: Final = re.compile("[_.-]+")
_SIGNED: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{1,32}+(?:\+\+(?![A-Za-z+#])|#(?![\w#]))")
_DOTTED: Final = re.compile(r"""\.(?<![^\s("'\[{`/]\.)[A-Za-z][A-Za-z0-9]{0,31}(?![A-Za-z0-9])""")

# The stemmer is thread-safe because its calls do not release the GIL. A cache of words would take 2 MiB, and save 11 of
# the 74 us that an abstract takes; the model takes 10 ms.
_stemmer = Stemmer.Stemmer("english", maxCacheSize=0)


def document_terms(text: str) -> Terms:
    """Return the terms of a document."""
    words, others = _analysed(text, single=True)
    return Terms(words + others, _stemmer.stemWords([word for word in words if word.isascii() and word.isalpha()]))


def query_terms(text: str, limit: int) -> list[QueryTerm]:
    """Return the distinct terms of a query, at most ``limit``."""
    words, others = _analysed(text, single=False)
    terms = list(dict.fromkeys(others + words))[:limit]
    spoken = set(words)
    return [
        QueryTerm(term, _stemmer.stemWord(term) if term in spoken and term.isascii() and term.isalpha() else "")
        for term in terms
    ]


def _analysed(text: str, *, single: bool) -> tuple[list[str], list[str]]:
    """Return the words of a text and its other terms; only words have stems."""
    words: list[str] = []
    others: list[str] = []
    for part, pair_at_end in slices(fold(text)):
        if part.isascii():
            words += _ASCII_WORD.findall(part.lower())
        else:
            lower = part.casefold()
            words += _WORD.findall(lower)
            _add_unspaced(lower, others, single=single)
        _add_joined(part, words, others)
        if pair_at_end:
            others.append(pair_at_end)
    if max(map(len, words), default=0) > MAX_TERM_CHARS:
        words = [part for word in words for part in _cut(word)]
    if max(map(len, others), default=0) > MAX_TERM_CHARS:
        others = [term[:MAX_TERM_CHARS] for term in others]
    return words, others


def _add_unspaced(text: str, others: list[str], *, single: bool) -> None:
    """Add the terms of scripts without spaces and of Korean, and the symbols."""
    for cjk, hangul, asian, symbol in _RUN.findall(text):
        if symbol:
            others.append(symbol)
        elif hangul:
            if len(hangul) > 2:
                others.append(hangul)
            others += _pairs(hangul, single=single)
        else:
            others += _pairs(cjk or _SYLLABLE.findall(asian), single=single)


def _pairs(characters: str | list[str], *, single: bool) -> list[str]:
    """Return the pairs of neighbours; include the characters themselves if ``single`` or if there is no pair."""
    pairs = [first + second for first, second in pairwise(characters)]
    return [*characters, *pairs] if single or not pairs else pairs


def _add_joined(text: str, words: list[str], others: list[str]) -> None:
    """Add the terms that are more than their words: identifiers, codes, and names with signs."""
    for written in _JOINED.findall(text):
        whole = written.lower()
        if "_" in whole or "." in whole or not whole.replace("-", "").isalpha():
            others.append(whole[:MAX_TERM_CHARS])
        if "." not in whole and len(whole) <= MAX_TERM_CHARS:
            _add_parts_joined(_CONNECTOR.split(whole), others)
    for written in _CAMEL.findall(text) if _HUMP.search(text) else ():
        if len(written) <= MAX_TERM_CHARS:
            parts = [part.lower() for part in _CAMEL_PART.findall(written)]
            words += parts
            # The whole identifier is already among the words.
            _add_parts_joined(parts, others, whole=False)
    if "#" in text or "++" in text:
        others += [term.lower() for term in _SIGNED.findall(text)]
    others += [term.lower() for term in _DOTTED.findall(text)]


def _add_parts_joined(parts: list[str], others: list[str], *, whole: bool = True) -> None:
    if len(parts) > 2:
        others += [first + second for first, second in pairwise(parts)]
    if whole:
        others.append("".join(parts))


def _cut(word: str) -> Iterator[str]:
    return (word[start : start + MAX_TERM_CHARS] for start in range(0, len(word), MAX_TERM_CHARS))
