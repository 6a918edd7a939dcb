"""Folds a text and keeps, for each character of the result, its place in the text."""

import re
import unicodedata
from array import array
from typing import Final, NamedTuple

from tandem_gateway.analysis.folding import fold
from tandem_gateway.analysis.scripts import ranges

# Characters that normalisation may join to the one before: marks, and later letters of Korean syllables. None is beyond
# U+1FFFF but variation selectors.
_JOINING: Final = ranges(
    code
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    if unicodedata.category(chr(code)).startswith("M")
    or 0x1160 <= code < 0x1200
    or 0x3131 <= code < 0x318F
    or 0xD7B0 <= code < 0xD800
    or 0xFF9E <= code < 0xFFDD
)
# A run is cut after this many characters, because folding takes longer than linear time if it sorts many marks.
_CLUSTER: Final = re.compile(
    rf"([\x00-\x7f\u4e00-\u9fff]+)|[^\x00-\x7f\u4e00-\u9fff](?:[\u00ad\u200b-\u200f]*[{_JOINING}]){{0,64}}"
)


class FoldedText(NamedTuple):
    """A folded text; ``text`` and ``lower`` have the same length."""

    text: str
    """With its case. A letter is repeated if it is several in lower case, as ``ß``."""
    lower: str
    starts: "array[int] | range"
    """Offset of each character in the original, then the length of the original."""

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the offsets in the original of a part that is not empty."""
        last = self.starts[stop - 1]
        while stop < len(self.text) and self.starts[stop] == last:  # several characters are one in the original
            stop += 1
        return self.starts[start], self.starts[stop]


def fold_with_offsets(text: str) -> FoldedText:
    """Return the folded text; it is that of ``fold``. The time is linear in the length of the text."""
    if text.isascii():
        return FoldedText(text, text.lower(), range(len(text) + 1))
    parts: list[str] = []
    starts = array("L")
    lowers: list[str] = []
    known: dict[str, tuple[str, str]] = {}
    for cluster in _CLUSTER.finditer(text):
        written, start = cluster[0], cluster.start()
        if cluster[1]:  # ASCII and common ideographs: folding changes none of them
            parts.append(written)
            lowers.append(written.lower())
            starts.extend(range(start, start + len(written)))
            continue
        folded, lower = known.get(written) or ("", "")
        if written not in known:
            folded = fold(written)
            lower = folded.casefold()
            # One letter may become several: the letter is repeated.
            folded = folded.ljust(len(lower), folded[-1:] or " ")
            known[written] = folded, lower
        parts.append(folded)
        lowers.append(lower)
        starts.extend([start] * len(lower))
    starts.append(len(text))
    return FoldedText("".join(parts), "".join(lowers), starts)
