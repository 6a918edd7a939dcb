"""Folds characters with the same meaning to one spelling.

Folding is based on Unicode's compatibility decomposition (NFKD). Canonically equivalent texts fold to the same text.
Full-width, ligature, superscript and styled forms fold to their plain characters.
"""

import re
from typing import Final, Literal
from unicodedata import combining, normalize

from tandem_gateway.analysis.scripts import IGNORED, ranges

# Characters whose decomposition would append letters to the previous word, or is a whole sentence (18 characters).
_NO_WORDS: Final = re.compile("[\u2120\u2122\ufdfa\ufdfb]")
_SPECIAL_LETTERS: Final = {
    # Latin letters with a stroke, and dotless i: Unicode does not decompose them.
    **dict(zip("ƀɃƗɨƵƶǤǥɆɇɈɉɌɍɎɏȺⱥȻȼȾⱦ", "bBIiZzGgEeJjRrYyAaCcTt", strict=True)),
    # Letters that people also write as two.
    **{"Æ": "Ae", "æ": "ae", "Œ": "Oe", "œ": "oe", "Þ": "Th", "þ": "th", "Ð": "D", "ð": "d"},
    **dict(zip("ĐđØøŁłĦħŦŧı", "DdOoLlHhTti", strict=True)),
    # Arabic and Persian letters that people type interchangeably.
    **dict(zip("ٱىیکة", "اييكه", strict=True)),
}
_DECIMAL_ZEROS: Final = "٠۰߀०০੦૦୦௦౦೦൦๐໐༠၀០᠐"
_DIGITS: Final = {chr(ord(zero) + digit): str(digit) for zero in _DECIMAL_ZEROS for digit in range(10)}
_REPLACED: Final = {**_SPECIAL_LETTERS, **_DIGITS}
_CHANGED: Final = re.compile(f"[{IGNORED}]+|[{''.join(_REPLACED)}]")

# The characters that decompose to combining marks only; most decompose to themselves. None is beyond U+1FFFF.
_MARKS: Final = {
    character: decomposed
    for character in map(chr, range(0x300, 0x20000))
    if all(map(combining, decomposed := normalize("NFKD", character)))
}
_DECOMPOSED_MARKS: Final = {ord(mark): decomposed for mark, decomposed in _MARKS.items() if mark != decomposed}
# Real text has a few marks per letter. The limit of Unicode's stream-safe text format is 30 (UAX #15).
_LONG_RUN: Final = re.compile(f"[{ranges(map(ord, _MARKS))}]{{31,}}")
# A faster first test, by several times: one range covers all marks beyond U+FFFF, which slow a character class down.
_BASIC_MARKS: Final = ranges(code for code in map(ord, _MARKS) if code < 0x10000)
_LONG_RUN_OR_RARE: Final = re.compile(f"[{_BASIC_MARKS}\U00010000-\U0001ffff]{{31,}}")


def fold(text: str) -> str:
    """Return the text in composed compatibility form, without accents and invisible characters; case is kept.

    Canonically equivalent texts (NFC, NFD) give equal results. The time is linear in the length of the text.
    """
    if text.isascii():
        return text
    decomposed = _normalized("NFKD", _NO_WORDS.sub(" ", text))
    return _normalized("NFC", _CHANGED.sub(lambda match: _REPLACED.get(match[0], ""), decomposed))


def _normalized(form: Literal["NFC", "NFKD"], text: str) -> str:
    """Return the normal form, in linear time.

    Python's ``normalize`` uses an insertion sort on each run of combining marks, which takes quadratic time: 16 s for
    100,000 marks, with the GIL held. A run that is already in canonical order takes linear time. This function
    therefore sorts long runs first.
    """
    if _LONG_RUN_OR_RARE.search(text):
        text = _LONG_RUN.sub(_in_canonical_order, text)
    return normalize(form, text)


def _in_canonical_order(run: re.Match[str]) -> str:
    return "".join(sorted(run[0].translate(_DECOMPOSED_MARKS), key=combining))
