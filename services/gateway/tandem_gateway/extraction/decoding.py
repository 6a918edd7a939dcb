"""Bytes of a file → text: byte order mark, UTF-8, the encoding that the file names, then a guess."""

import codecs
import importlib.util
import re
from typing import Final

from tandem_gateway.extraction.formats import EXTRA
from tandem_gateway.extraction.pieces import Unreadable

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# HTML, section 13.2.3.2: a browser looks for the encoding in the first 1,024 bytes.
_META_BYTES: Final = 1024
_META_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)

_LAST_ASCII: Final = 0x7F
_COUNTED_BYTES: Final = 1 << 20
_MIN_FOREIGN_BYTES: Final = 16
"""With fewer bytes beyond ASCII, the guess is often wrong."""


def decoded(content: bytes, *, html: bool = False) -> str:
    """Return the text of a file, without a byte order mark and with line ends as they are.

    Args:
        content: the file.
        html: whether the encoding may be in a ``meta`` element.

    Raises:
        Unreadable: the encoding is unknown, or the file is not in the one that it names.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], encoding)
    try:
        return content.decode()
    except UnicodeDecodeError:
        pass
    named = _META_CHARSET.search(content, 0, _META_BYTES) if html else None
    if named is not None:
        return _strictly(content, named[1].decode())
    return _guessed(content)


def _strictly(content: bytes, encoding: str) -> str:
    try:
        if not codecs.lookup(encoding)._is_text_encoding:  # such as "zip", which decompresses
            raise LookupError
        return content.decode(encoding)
    except LookupError:
        raise Unreadable(f"names an unknown encoding, {encoding}") from None
    except UnicodeError:
        raise Unreadable(f"is not in the encoding that it names, {encoding}") from None


def _guessed(content: bytes) -> str:
    if sum(byte > _LAST_ASCII for byte in content[:_COUNTED_BYTES]) < _MIN_FOREIGN_BYTES:
        raise Unreadable("is not UTF-8, and has too few bytes beyond ASCII for a guess of its encoding; send UTF-8")
    if importlib.util.find_spec("charset_normalizer") is None:
        raise Unreadable(f"is not UTF-8; the gateway guesses other encodings with its extra {EXTRA!r} only")
    import charset_normalizer  # noqa: PLC0415 - of an extra, and most files need no guess

    best = charset_normalizer.from_bytes(content).best()
    if best is None:
        raise Unreadable("is no text: its encoding is unknown")
    return str(best)
