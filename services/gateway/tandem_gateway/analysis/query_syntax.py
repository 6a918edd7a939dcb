"""The syntax of a keyword query, as people type it. Every text is a query; a sign out of place is a character.

=============  ====================================================================================================
written        means
=============  ====================================================================================================
``word``       scores documents with the word, or another form of it
``"a phrase"`` leaves out documents without these words in this order, adjacent. ``“a phrase”`` is the same.
``-word``      leaves out documents with this word, exactly. ``-"a phrase"`` and ``-pre*`` work alike.
``pre*``       scores documents with any word that begins so; also the last word of a phrase
=============  ====================================================================================================

- A minus counts only before a word and after white space: ``state-of-the-art``, ``--flag``, ``a - b`` exclude nothing.
- A quotation mark after a letter or a digit opens no phrase (``12" pipe``), and neither does one that is never closed.
- A star counts only at the end of a word that has no other star. All words of a phrase are also words of the query.
"""

import re
from dataclasses import dataclass
from typing import Final

from tandem_gateway.analysis.scripts import UNSPACED
from tandem_gateway.analysis.terms import query_terms, sequence_of

MIN_PREFIX_CHARS: Final = 2
"""A shorter prefix is a word; a character of a script without spaces is enough. Half of all words begin alike."""

_SIGNS: Final = re.compile('[-"“”„*]')
_ITEM: Final = re.compile(
    rf"(?P<minus>(?<!\S)-(?=[^\s\-]))?"
    rf"(?:(?<![^\W_{UNSPACED}])[\"“”„](?P<phrase>[^\"“”„]*)[\"“”„]"
    rf"|(?P<word>(?:[^\s\"“”„*]|(?<=[^\W_{UNSPACED}])[\"“”„])+)(?P<star>\*(?!\S))?"
    rf"|(?P<other>[\"“”„*\s]))"
)


@dataclass(frozen=True, slots=True)
class Literal:
    """Words that are looked up exactly as they are, adjacent and in this order."""

    words: tuple[str, ...]
    """Terms of a document's sequence."""
    names: tuple[str, ...] = ()
    """Names with signs among them, such as ``c++``: terms that the document must have as well."""
    prefix: bool = False
    """Whether the last word is the beginning of a word."""

    @property
    def stem(self) -> str:
        """A literal has no stem; see ``QueryTerm``."""
        return ""


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query by its parts."""

    meaning: str
    """The query without signs and excluded words: the text for the model."""
    words: str
    """The text of the plain words, those of phrases among them."""
    phrases: tuple[Literal, ...] = ()
    excluded: tuple[Literal, ...] = ()
    prefixes: tuple[Literal, ...] = ()

    only_exclusions: bool = False
    """Whether the query says only what to leave out. It finds nothing."""

    @property
    def constrained(self) -> bool:
        """Whether the query leaves out documents."""
        return bool(self.phrases or self.excluded)


def has_signs(text: str) -> bool:
    """Return whether a query has any character that may be a sign."""
    return _SIGNS.search(text) is not None


def parse(text: str) -> ParsedQuery:
    """Return the parts of a query; any text is valid. The time is linear in the length of the text."""
    if not has_signs(text):
        return ParsedQuery(text, text)
    meaning: list[str] = []
    words: list[str] = []
    phrases: dict[Literal, None] = {}
    excluded: dict[Literal, None] = {}
    prefixes: dict[Literal, None] = {}
    for item in _ITEM.finditer(text):
        phrase, word = item["phrase"], item["word"]
        if phrase is None and word is None:
            _add(item["other"] or "", meaning, words)
            continue
        literal = _literal(phrase.removesuffix("*"), phrase.endswith("*")) if phrase is not None else None
        if word is not None and (item["star"] or item["minus"]):
            literal = _literal(word, bool(item["star"]) and text[max(item.start() - 1, 0)] != "*")
        written = f" {phrase.removesuffix('*')} " if phrase is not None else word
        if item["minus"] and literal:
            excluded[literal] = None
            _add(" ", meaning, words)
        elif phrase is not None:
            if literal:
                phrases[literal] = None
            meaning.append(written)
            # The last word may be the beginning of one: nothing to look up by itself.
            words.append(f" {' '.join(literal.words[:-1])} " if literal and literal.prefix else written)
        elif literal and literal.prefix:
            prefixes[literal] = None
            meaning.append(word)
        else:
            _add(item[0], meaning, words)
    if not (phrases or excluded or prefixes):
        return ParsedQuery(text, text)
    plain = "".join(words)
    only_exclusions = not (phrases or prefixes or query_terms(plain, 1))
    return ParsedQuery(
        "".join(meaning).strip(), plain, tuple(phrases), tuple(excluded), tuple(prefixes), only_exclusions
    )


def _literal(text: str, prefix: bool) -> Literal | None:
    """Return the literal of a text; None if the text has no words."""
    sequence, names = sequence_of(text)
    if not sequence:
        return None
    last = sequence[-1]
    alone = len(sequence) == 1 and len(last) < MIN_PREFIX_CHARS and re.match(f"[{UNSPACED}]", last) is None
    return Literal(tuple(sequence), tuple(dict.fromkeys(names)), prefix and not alone)


def _add(text: str, *lists: list[str]) -> None:
    for each in lists:
        each.append(text)
