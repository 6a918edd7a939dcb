"""Finds the places in a text whose terms a query has: the same analysis as that of documents, with offsets."""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.offsets import fold_with_offsets
from tandem_gateway.analysis.query_syntax import Literal, ParsedQuery
from tandem_gateway.analysis.scripts import UNSPACED
from tandem_gateway.analysis.slices import slices
from tandem_gateway.analysis.terms import (
    CAMEL,
    CAMEL_PART,
    DOTTED,
    JOINED,
    MAX_TERM_CHARS,
    RUN,
    SEQUENCE,
    SIGNED,
    SYLLABLE,
    WORD,
    has_stem,
    query_terms,
    stem,
)

MAX_WORDS: Final = 256
"""Maximum number of different terms of a query to look for."""
_MAX_KNOWN: Final = 10_000
_PART: Final = re.compile("[A-Za-z0-9]+")
_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
_SPACED: Final = re.compile(rf"[.\w]*\Z(?<![{UNSPACED}])")
# A text is folded in blocks of at most so many characters.
_BLOCK_CHARS: Final = 16_384
_LAST_PLACE: Final = re.compile(".*[\\s\u3001\u3002\uff01\uff0c\uff1f]", re.DOTALL)

Span = tuple[int, int]


class Wanted:
    """The terms of a query, in a form to compare words with. Only one thread at a time may use it."""

    def __init__(self, asked: ParsedQuery, language: str = DEFAULT_LANGUAGE) -> None:
        terms = query_terms(asked.words, MAX_WORDS, language)
        begins: list[str] = []
        for literal in (*asked.prefixes, *(each for each in asked.phrases if each.prefix)):
            spaced = _spaced_prefix(literal)
            if spaced is not None:
                begins.append(spaced)
            written = " ".join(literal.words[:-1]) if spaced else "".join(literal.words)
            terms += query_terms(written, MAX_WORDS, language)
        self.exact = frozenset(term.exact for term in terms)
        self.unspaced = [term for term in self.exact if not _SPACED.match(term)]
        """The terms of scripts without spaces, and symbols."""
        self._language = language
        self._stems = frozenset(term.stem for term in terms if term.stem)
        self._begins = tuple(begins)
        self._known: dict[str, bool] = {}

    def has_word(self, word: str) -> bool:
        """Return whether the query asks for a word: for itself, its stem or its beginning."""
        known = self._known.get(word)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = (
                word[:MAX_TERM_CHARS] in self.exact
                or (bool(self._begins) and word.startswith(self._begins))
                or (bool(self._stems) and has_stem(word, self._language) and stem(word, self._language) in self._stems)
            )
            self._known[word] = known
        return known


def matched_spans(text: str, wanted: Wanted, limit: int, on_slice: Callable[[], None]) -> "array[int]":
    """Return start and end of each match, one after the other, in ascending order; matches that overlap are one.

    Args:
        text: of a document.
        wanted: the terms to look for.
        limit: maximum number of matches: the first ones.
        on_slice: called before each slice of the text; it may raise to end the search.
    """
    spans: list[Span] = []
    for begin, block in _blocks(text):
        for start, stop in _of_block(block, wanted, on_slice):
            if spans and begin + start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(begin + stop, spans[-1][1]))
            elif len(spans) == limit:
                return _flat(spans)
            else:
                spans.append((begin + start, begin + stop))
    return _flat(spans)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield the blocks of a text with their offsets, cut after white space or a Chinese punctuation mark if possible.

    A match across another cut is left out.
    """
    start = 0
    while start < len(text):
        stop = start + _BLOCK_CHARS
        if stop < len(text) and (place := _LAST_PLACE.match(text, start, stop)):
            stop = place.end()
        yield start, text[start:stop]
        start = stop


def _of_block(text: str, wanted: Wanted, on_slice: Callable[[], None]) -> Iterator[Span]:
    """Yield the matches in a block, by their start; they may overlap."""
    folded = fold_with_offsets(text)
    begin = 0
    for part, pair in slices(folded.text):
        on_slice()
        end = begin + len(part)
        found = [
            folded.span(begin + start, begin + stop) for start, stop in _spans(part, folded.lower[begin:end], wanted)
        ]
        if pair and pair in wanted.exact:
            *_, last = SEQUENCE.finditer(folded.lower[begin:end])
            found.append(folded.span(begin + last.start(), begin + last.start() + len(pair)))
        yield from sorted(found)
        begin = end


def _flat(spans: Sequence[Span]) -> "array[int]":
    return array("L", [offset for span in spans for offset in span])


def _spans(part: str, lower: str, wanted: Wanted) -> Iterator[Span]:
    """Yield the matches in a slice of a folded text, in no particular order."""
    unspaced = any(term in lower for term in wanted.unspaced)
    for word in (SEQUENCE if unspaced else WORD).finditer(lower):
        if wanted.has_word(word[0]):
            yield word.span()
    if unspaced:
        yield from _unspaced(lower, wanted)
    for pattern in (SIGNED, DOTTED):
        for name in pattern.finditer(part):
            if name[0].lower() in wanted.exact:
                yield name.span()
    for written in JOINED.finditer(part):
        if written[0].lower()[:MAX_TERM_CHARS] in wanted.exact:
            yield written.span()
        yield from _joined(list(_PART.finditer(part, *written.span())), wanted)
    for written in CAMEL.finditer(part):
        if len(written[0]) <= MAX_TERM_CHARS:
            parts = list(CAMEL_PART.finditer(part, *written.span()))
            yield from (each.span() for each in parts if wanted.has_word(each[0].lower()))
            yield from _joined(parts, wanted)


def _unspaced(lower: str, wanted: Wanted) -> Iterator[Span]:
    for run in RUN.finditer(lower):
        if run[4]:
            continue
        if run[2] and run[0] in wanted.exact:
            yield run.span()
        places = (
            [each.span() for each in SYLLABLE.finditer(lower, *run.span())]
            if run[3]
            else [(place, place + 1) for place in range(*run.span())]
        )
        for (start, _), (_, stop) in pairwise(places):
            if lower[start:stop] in wanted.exact:
                yield start, stop


def _joined(parts: list[re.Match[str]], wanted: Wanted) -> Iterator[Span]:
    """Yield the parts of an identifier that are a term when joined: two neighbours, or all."""
    groups = [parts, *(list(pair) for pair in pairwise(parts))] if parts else []
    for group in groups:
        if "".join(each[0] for each in group).lower() in wanted.exact:
            yield group[0].start(), group[-1].end()


def _spaced_prefix(literal: Literal) -> str | None:
    """Return the beginning of a word that a literal asks for; None in a script without spaces."""
    last = literal.words[-1]
    return None if _UNSPACED.match(last) else last
