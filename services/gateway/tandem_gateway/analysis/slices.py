"""Cuts a long text into slices that have the terms of the whole.

One call of a regular expression over a long text would hold the interpreter's lock too long. A cut splits no word,
code or syllable. The places for a cut, best first:

1. before a character that is part of no longer term: white space, punctuation other than joiners, a symbol;
   between letters of different scripts; or between two characters of a script without spaces. The pair of these two
   is handed out beside the slice;
2. at a joiner within a code that is longer than a slice: its words stay whole;
3. anywhere within a word that is longer than a slice.
"""

import re
from collections.abc import Iterator
from typing import Final

from tandem_gateway.analysis.scripts import (
    CJK,
    CJK_IDEOGRAPHS,
    HANGUL,
    MARKS,
    REGIONAL_INDICATORS,
    SOUTH_EAST_ASIAN,
    STACKERS,
    SYLLABLE_MARKS,
    UNSPACED,
)

SLICE_CHARS: Final = 8192

_CHINESE: Final = CJK + CJK_IDEOGRAPHS
# A letter with its marks, and with the consonants stacked under it; it begins neither with a mark nor under a stacker.
_SYLLABLE: Final = (
    rf"(?<![{STACKERS}])(?![{SYLLABLE_MARKS}{STACKERS}])[{SOUTH_EAST_ASIAN}]"
    rf"(?:[{STACKERS}][{SOUTH_EAST_ASIAN}]|[{SYLLABLE_MARKS}{STACKERS}])*+"
)
# No name with a sign, such as C++ or C#, goes on with a letter or begins with its sign.
_NO_SIGN: Final = r"(?<=\w)(?=\+[^+]|#\w)"
_PLACES: Final = (
    rf"(?=[^\w.+#\-{MARKS}{UNSPACED}{REGIONAL_INDICATORS}])",
    _NO_SIGN,
    # Flags are pairs of regional indicators.
    rf"(?<![{REGIONAL_INDICATORS}])(?=[{REGIONAL_INDICATORS}])|(?<=[{REGIONAL_INDICATORS}])(?=[^\W_])",
    *(
        rf"(?<=[{script}])(?=[^\W_{script}])|(?<=[^\W_{script}])(?=[{script}])"
        for script in (_CHINESE, HANGUL, SOUTH_EAST_ASIAN)
    ),
    # Two on either side: a query asks for a character that stands alone, and none must seem to.
    *(f"{unit}({unit})(?=({unit}){unit})" for unit in (f"[{_CHINESE}]", _SYLLABLE)),
)
# The greedy .* finds the last place.
_LAST_PLACE: Final = re.compile(f".*(?:{'|'.join(_PLACES)})", re.DOTALL)
# The same for ASCII text, several times faster: a word as long as a slice is searched from end to end.
_LAST_ASCII_PLACE: Final = re.compile(rf".*(?:(?=[^\w.+#\-])|{_NO_SIGN})", re.DOTALL)
_LAST_JOINER: Final = re.compile(r".*(?:(?<=[_.-])(?=[^\W_])|(?<=[^\W_])(?=[+#]))", re.DOTALL)


def slices(text: str) -> Iterator[tuple[str, str]]:
    """Return the slices of a folded text, ``SLICE_CHARS`` long at most; joined they are the text.

    Each comes with the pair of characters (or syllables) on both sides of its end where the cut separates a pair that
    is a term; with an empty string otherwise. The time is linear in the length.
    """
    start = 0
    last_place = _LAST_ASCII_PLACE if text.isascii() else _LAST_PLACE
    while len(text) - start > SLICE_CHARS:
        end = start + SLICE_CHARS
        # One character more lets the last place be the end.
        place = last_place.match(text, start + 1, end + 1) or _LAST_JOINER.match(text, start + 1, end + 1)
        if place:
            end = place.end()
        yield text[start:end], "".join(filter(None, place.groups())) if place else ""
        start = end
    yield text[start:] if start else text, ""
