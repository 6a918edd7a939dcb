"""Splits a text into terms.

=====================  ==============================================================================================
text                   terms
=====================  ==============================================================================================
words                  the word in lower case; also its stem, by the language of the collection
identifiers            the whole, its parts, and joined parts: ``getUserName`` → getusername, get, user, name, ...
codes, file names      the whole and its words: ``SKU-48200`` → sku-48200, sku, 48200
``C++``, ``C#``,       the whole and the word: c++, c
``.NET``
Chinese, Japanese,     pairs of neighbouring characters, and each character; there are no spaces between words
Thai, Lao, ...
Korean                 the word, its pairs and its characters, because particles are attached to words
emoji, symbols         each one
=====================  ==============================================================================================

The terms of a document begin with its sequence: words, single characters and symbols in the order of the text. Phrases
are looked up in it. The other terms (pairs, identifiers, codes) follow.

Documents and queries get the same analysis, with one difference. A query looks up the pairs of a run of characters, and
a single character only if it stands alone. Otherwise every document with one of a word's characters would match.

A term has no white space, no quotation mark, and no ASCII character other than ``a-z 0-9 _ + # . -``. It has at most
``MAX_TERM_CHARS`` characters.
"""

import re
import unicodedata
from itertools import pairwise
from typing import Final, NamedTuple

import Stemmer

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
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

VERSION: Final = f"4/{unicodedata.unidata_version}/{Stemmer.version()}"
"""Version of the analysis. It changes whenever the terms of a text may change; the index must then be rebuilt."""

MAX_TERM_CHARS: Final = 128
"""Maximum length of a term; longer words are cut, in documents and queries alike."""


class Terms(NamedTuple):
    """The terms of a document, each as often as it occurs."""

    exact: list[str]
    """The sequence first, then the other terms in no particular order."""
    stems: list[str]
    sequence: int
    """Length of the sequence: so many terms of ``exact`` are in the order of the text."""


class QueryTerm(NamedTuple):
    """A term of a query; ``stem`` is empty if the term has none."""

    exact: str
    stem: str


_ASCII_WORD: Final = re.compile("[a-z0-9]+")
WORD: Final = re.compile(rf"[^\W_{UNSPACED}]+(?:[{MARKS}]+[^\W_{UNSPACED}]*)*")
RUN: Final = re.compile(
    rf"([{CJK}{CJK_IDEOGRAPHS}]+)|([{HANGUL}]+)|([{SOUTH_EAST_ASIAN}]+)|([{REGIONAL_INDICATORS}]{{2}}|[{SYMBOLS}])"
)
# A letter with its marks and the consonants stacked under it.
SYLLABLE: Final = re.compile(rf".(?:[{STACKERS}].|[{SYLLABLE_MARKS}{STACKERS}])*")
SEQUENCE: Final = re.compile(
    rf"{WORD.pattern}|[{CJK}{CJK_IDEOGRAPHS}{HANGUL}]"
    rf"|[{SOUTH_EAST_ASIAN}](?:[{STACKERS}][{SOUTH_EAST_ASIAN}]|[{SYLLABLE_MARKS}{STACKERS}])*"
    rf"|[{REGIONAL_INDICATORS}]{{2}}|[{SYMBOLS}]"
)
"""Matches each term of the sequence of a folded text in lower case."""

# The possessive quantifiers (++) keep the time linear: the search skips a word without a match in one pass.
JOINED: Final = re.compile("(?<![A-Za-z0-9])[A-Za-z0-9]++(?:(?:_++|[.-])[A-Za-z0-9]++)++")
_HUMP: Final = re.compile("[A-Z](?:(?<=[a-z0-9][A-Z])|(?<=[A-Z][A-Z])(?=[a-z]))")
CAMEL: Final = re.compile("(?<![A-Za-z0-9])(?=[A-Z]*+(?:[a-z0-9]++[A-Z]|(?<=[A-Z][A-Z])[a-z]))[A-Za-z0-9]++")
CAMEL_PART: Final = re.compile("[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z0-9]+|[0-9]+")
_CONNECTOR: Final = re.compile("[_.-]+")
SIGNED: Final = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z0-9]{{1,32}}+(?:\+\+(?![A-Za-z+#])|#(?![^\W{UNSPACED}]|#))")
DOTTED: Final = re.compile(rf"""\.(?<![^\s("'\[{{`/{UNSPACED}]\.)[A-Za-z][A-Za-z0-9]{{0,31}}(?![A-Za-z0-9])""")

NO_LANGUAGE: Final = "none"
"""Language of a collection whose words have no stems."""
# Two algorithms are an older variant of another one.
LANGUAGES: Final = (*sorted({*Stemmer.algorithms()} - {"porter", "dutch_porter"}), NO_LANGUAGE)
"""The languages that a collection may have: those of the stemmer, and ``NO_LANGUAGE``."""

# A stemmer is thread-safe because its calls do not release the GIL. A cache of words would take 2 MiB, and save 11 of
# the 74 us that an abstract takes; the model takes 10 ms.
_stemmers: Final[dict[str, Stemmer.Stemmer]] = {}


def document_terms(text: str, language: str = DEFAULT_LANGUAGE) -> Terms:
    """Return the terms of a document.

    Args:
        text: of the document.
        language: one of ``LANGUAGES``.
    """
    sequence, parts, others = _analysed(text, SEQUENCE)
    if language == NO_LANGUAGE:
        return Terms(sequence + parts + others, [], len(sequence))
    words = [word for word in (*sequence, *parts) if has_stem(word, language)]
    return Terms(sequence + parts + others, _stemmer(language).stemWords(words), len(sequence))


def query_terms(text: str, limit: int, language: str = DEFAULT_LANGUAGE) -> list[QueryTerm]:
    """Return the distinct terms of a query in one of ``LANGUAGES``, at most ``limit``."""
    words, parts, others = _analysed(text, WORD)
    words += parts
    terms = list(dict.fromkeys(others + words))[:limit]
    spoken = set(words)
    return [
        QueryTerm(term, stem(term, language) if term in spoken and has_stem(term, language) else "") for term in terms
    ]


def sequence_of(text: str) -> tuple[list[str], list[str]]:
    """Return the sequence of a text, and its names with signs, such as ``c++``; the sequence has no signs."""
    sequence: list[str] = []
    names: list[str] = []
    for part, _ in slices(fold(text)):
        sequence += _ASCII_WORD.findall(part.lower()) if part.isascii() else SEQUENCE.findall(part.casefold())
        _add_names(part, names)
    return _all_cut(sequence), names


def has_stem(word: str, language: str) -> bool:
    """Return whether a word of the sequence has a stem in a language: English stems only words of ASCII letters."""
    if word.isascii():
        return language != NO_LANGUAGE and word.isalpha()
    return language not in (DEFAULT_LANGUAGE, NO_LANGUAGE) and len(word) > 1


def stem(word: str, language: str = DEFAULT_LANGUAGE) -> str:
    """Return the stem of a folded word in lower case, of which ``has_stem`` is true.

    The stemmers get words without accents, in documents and queries alike, because people leave accents out.
    """
    return str(_stemmer(language).stemWord(word))


def _stemmer(language: str) -> Stemmer.Stemmer:
    found = _stemmers.get(language)
    if found is None:
        found = _stemmers[language] = Stemmer.Stemmer(language, maxCacheSize=0)
    return found


def _analysed(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the words of a text, the words within its identifiers, and its other terms.

    Args:
        text: of a document or a query.
        pattern: of the words: ``SEQUENCE`` for a document, ``WORD`` for a query, which has the rest as other terms.
    """
    words: list[str] = []
    parts: list[str] = []
    others: list[str] = []
    for part, pair_at_end in slices(fold(text)):
        if part.isascii():
            words += _ASCII_WORD.findall(part.lower())
        else:
            lower = part.casefold()
            words += pattern.findall(lower)
            _add_unspaced(lower, others, of_query=pattern is WORD)
        _add_joined(part, parts, others)
        if pair_at_end:
            others.append(pair_at_end)
    if max(map(len, others), default=0) > MAX_TERM_CHARS:
        others = [term[:MAX_TERM_CHARS] for term in others]
    return _all_cut(words), parts, others


def _add_unspaced(text: str, others: list[str], *, of_query: bool) -> None:
    """Add the pairs of scripts without spaces, and Korean words; for a query also symbols and characters alone."""
    for cjk, hangul, asian, symbol in RUN.findall(text):
        if symbol:
            if of_query:
                others.append(symbol)
            continue
        if len(hangul) > 2:
            others.append(hangul)
        characters = cjk or hangul or SYLLABLE.findall(asian)
        pairs = [first + second for first, second in pairwise(characters)]
        others += characters if of_query and not pairs else pairs


def _add_joined(text: str, words: list[str], others: list[str]) -> None:
    """Add the terms that are more than their words: identifiers, codes, and names with signs."""
    for written in JOINED.findall(text):
        whole = written.lower()
        if "_" in whole or "." in whole or not whole.replace("-", "").isalpha():
            others.append(whole[:MAX_TERM_CHARS])
        if "." not in whole and len(whole) <= MAX_TERM_CHARS:
            _add_parts_joined(_CONNECTOR.split(whole), others)
    for written in CAMEL.findall(text) if _HUMP.search(text) else ():
        if len(written) <= MAX_TERM_CHARS:
            parts = [part.lower() for part in CAMEL_PART.findall(written)]
            words += parts
            # The whole identifier is already among the words.
            _add_parts_joined(parts, others, whole=False)
    _add_names(text, others)


def _add_names(text: str, others: list[str]) -> None:
    """Add the names with signs."""
    if "#" in text or "++" in text:
        others += [term.lower() for term in SIGNED.findall(text)]
    others += [term.lower() for term in DOTTED.findall(text)]


def _add_parts_joined(parts: list[str], others: list[str], *, whole: bool = True) -> None:
    if len(parts) > 2:
        others += [first + second for first, second in pairwise(parts)]
    if whole:
        others.append("".join(parts))


def _all_cut(words: list[str]) -> list[str]:
    """Return the words, the longer ones in pieces."""
    if max(map(len, words), default=0) <= MAX_TERM_CHARS:
        return words
    return [word[start : start + MAX_TERM_CHARS] for word in words for start in range(0, len(word), MAX_TERM_CHARS)]
