"""Divides a long text into slices that together have the same terms as the whole text.

One call of a regular expression over a long text would hold the GIL for too long. A cut splits no word, code or
syllable that fits into a slice. The places for a cut, best first:

1. before a character that is part of no longer term (white space, a symbol, punctuation other than joiners); between
   letters of different scripts; or between two characters of a script without spaces. In the last case, the pair of
   the two characters is returned with the slice.
2. at a joiner within a code that is longer than a slice: the words of the code stay whole.
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
# A letter with its marks and the consonants stacked under it. It begins neither with a mark nor after a stacker.
_SYLLABLE: Final = (
    rf"(?<![{STACKERS}])(?![{SYLLABLE_MARKS}{STACKERS}])[{SOUTH_EAST_ASIAN}]"
    rf"(?:[{STACKERS}][{SOUTH_EAST_ASIAN}]|[{SYLLABLE_MARKS}{STACKERS}])*+"
)
# A name with a sign, such as C++ or C#, neither continues with a letter nor begins with its sign.
_NO_SIGN: Final = rf"(?<=\w)(?=\+[^+]|#[^\W{UNSPACED}])"
_PLACES: Final = (
    rf"(?=[^\w.+#\-{MARKS}{UNSPACED}{REGIONAL_INDICATORS}])",
    _NO_SIGN,
    # Flags are pairs of regional indicators.
    rf"(?<![{REGIONAL_INDICATORS}])(?=[{REGIONAL_INDICATORS}])|(?<=[{REGIONAL_INDICATORS}])(?=[^\W_])",
    *(
        rf"(?<=[{script}])(?=[^\W_{script}])|(?<=[^\W_{script}])(?=[{script}])"
        for script in (_CHINESE, HANGUL, SOUTH_EAST_ASIAN)
    ),
    # Two characters on either side of the cut. A query looks up a character alone if it has no neighbour, so a slice
    # must not begin or end with such a character.
    *(f"{unit}({unit})(?=({unit}){unit})" for unit in (f"[{_CHINESE}]", _SYLLABLE)),
)
# The greedy .* finds the last place.
_LAST_PLACE: Final = re.compile(f".*(?:{'|'.join(_PLACES)})", re.DOTALL)
# The same for ASCII text, several times faster in the worst case, a word as long as a slice.
_LAST_ASCII_PLACE: Final = re.compile(rf".*(?:(?=[^\w.+#\-])|{_NO_SIGN})", re.DOTALL)
_LAST_JOINER: Final = re.compile(r".*(?:(?<=[_.-])(?=[^\W_])|(?<=[^\W_])(?=[+#]))", re.DOTALL)


def slices(text: str) -> Iterator[tuple[str, str]]:
    """Return the slices of a folded text, each at most ``SLICE_CHARS`` long; joined, they give the text.

    If a cut separates a pair of characters (or syllables) that is a term, the slice comes with that pair, otherwise
    with an empty string. The time is linear in the length of the text.
    """
    start = 0
    last_place = _LAST_ASCII_PLACE if text.isascii() else _LAST_PLACE
    while len(text) - start > SLICE_CHARS:
        end = start + SLICE_CHARS
        # One more character lets the pattern match at ``end``.
        place = last_place.match(text, start + 1, end + 1) or _LAST_JOINER.match(text, start + 1, end + 1)
        if place:
            end = place.end()
        yield text[start:end], "".join(filter(None, place.groups())) if place else ""
        start = end
    yield text[start:] if start else text, ""
