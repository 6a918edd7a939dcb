"""Character classes, written as the content of a regular expression's brackets.

Most of them are derived from Unicode's general categories (``unicodedata``). The block boundaries are Unicode's.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

CJK: Final = "\u3005-\u3007\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
CJK_IDEOGRAPHS: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""With ``CJK``: Han, hiragana, katakana and bopomofo in composed form (NFC), which are written without spaces."""

HANGUL: Final = "\uac00-\ud7a3\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb"
"""Korean syllables, and the letters of syllables that have no composed form."""

SOUTH_EAST_ASIAN: Final = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
"""Letters and marks of Thai, Lao, Burmese and Khmer, which are written without spaces between words."""

UNSPACED: Final = CJK + CJK_IDEOGRAPHS + HANGUL + SOUTH_EAST_ASIAN
"""In a run of these characters, each pair of neighbours is a term."""

STACKERS: Final = "\u1039\u17d2"
"""Burmese virama and Khmer coeng: the consonant that follows belongs to the preceding syllable."""

REGIONAL_INDICATORS: Final = "\U0001f1e6-\U0001f1ff"
"""A pair of these is a flag emoji."""


def ranges(code_points: Iterable[int]) -> str:
    """Return code points, which must be in ascending order, as ranges of a character class."""
    found: list[list[int]] = []
    for code in code_points:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return "".join(
        re.escape(chr(first)) + (f"-{re.escape(chr(last))}" if last > first else "") for first, last in found
    )


def _of(categories: Iterable[str], *blocks: tuple[int, int]) -> str:
    wanted = frozenset(categories)
    return ranges(
        code for first, end in blocks for code in range(first, end) if unicodedata.category(chr(code)) in wanted
    )


# Marks outside these blocks spell a vowel or another part of a word, and must stay.
_ACCENTS: Final = _of(
    ("Mn", "Me"),
    (0x0300, 0x0370),  # Latin, Greek, Cyrillic
    (0x0483, 0x048A),  # Cyrillic
    (0x0591, 0x05C8),  # Hebrew points and cantillation
    (0x0610, 0x061B),  # Arabic
    (0x064B, 0x0660),
    (0x0670, 0x0671),
    (0x06D6, 0x06EE),
    (0x0711, 0x074B),  # Syriac
    (0x0898, 0x0900),
    (0x093C, 0x093D),  # the dot of Devanagari letters from other languages, which many leave out
    (0x1AB0, 0x1B00),
    (0x1DC0, 0x1E00),
    (0x20D0, 0x2100),
    (0xFE00, 0xFE30),  # variation selectors, half marks
    (0xE0100, 0xE01F0),
)

IGNORED: Final = (
    _ACCENTS
    + "\u00ad\u0640\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # soft hyphen, tatweel, zero width
)
"""Accents and invisible characters: a word is the same with or without them."""

MARKS: Final = _of(
    ("Mn", "Mc"),
    (0x07A6, 0x0860),  # Thaana, N'Ko, Samaritan
    (0x0900, 0x0E00),  # Indic
    (0x0F00, 0x1000),  # Tibetan
    (0x135D, 0x1360),
    (0x1712, 0x1774),
    (0x18A9, 0x1AB0),
    (0x1B00, 0x1D00),
    (0xA66F, 0xA6F2),
    (0xA802, 0xABEE),
    (0x10A01, 0x12000),
)
"""Vowel signs and other marks that are part of a word, but that Python does not count as letters."""

SYMBOLS: Final = _of(
    ("So", "Sc", "Sm"), (0x00A2, 0x0100), (0x20A0, 0x20C1), (0x2190, 0x2500), (0x25A0, 0x2C00), (0x1F000, 0x1FB00)
)
"""Emoji, arrows, mathematical signs and currency signs; each is a term. Box-drawing characters are excluded."""

SYLLABLE_MARKS: Final = _of(("Mn", "Mc"), (0x0E31, 0x0ED0), (0x102B, 0x1039), (0x103A, 0x109E), (0x17B4, 0x17D2))
"""Marks of ``SOUTH_EAST_ASIAN`` that belong to the preceding letter, except the stackers."""
