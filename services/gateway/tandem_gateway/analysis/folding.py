"""One spelling for characters that mean the same.

Based on Unicode's compatibility decomposition (NFKD): canonically equivalent texts fold alike, and so do full-width,
ligature, superscript and styled forms.
"""

import re
import unicodedata
from typing import Final

from tandem_gateway.analysis.scripts import IGNORED

# Characters whose decomposition would add letters to the word before them, or is a whole sentence (18 characters).
_NO_WORDS: Final = re.compile("[\u2120\u2122\ufdfa\ufdfb]")
_SPECIAL_LETTERS: Final = {
    # Latin letters with a stroke, which Unicode does not decompose.
    **dict(zip("ĐđØøŁłĦħŦŧı", "DdOoLlHhTti", strict=True)),
    # Arabic and Persian letters that people type for each other.
    **dict(zip("ٱىیکة", "اييكه", strict=True)),
}
_DECIMAL_ZEROS: Final = "٠۰߀०০੦૦୦௦౦೦൦๐໐༠၀០᠐"
_DIGITS: Final = {chr(ord(zero) + digit): str(digit) for zero in _DECIMAL_ZEROS for digit in range(10)}
_REPLACED: Final = {**_SPECIAL_LETTERS, **_DIGITS}
_CHANGED: Final = re.compile(f"[{IGNORED}]+|[{''.join(_REPLACED)}]")


def fold(text: str) -> str:
    """Return the text without accents and invisible characters and in composed compatibility form; case is kept.

    Canonically equivalent texts (NFC, NFD) give equal results. The time is linear in the length.
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", _NO_WORDS.sub(" ", text))
    return unicodedata.normalize("NFC", _CHANGED.sub(lambda match: _REPLACED.get(match[0], ""), decomposed))
