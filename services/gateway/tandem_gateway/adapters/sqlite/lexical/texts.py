"""The two forms in which the keyword index keeps a passage's text: terms for FTS5, and the compressed text."""

import zlib

from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.terms import document_terms

_LEVEL = 1
GAP = "\ue000"
"""Separates the sequence of a text from its other terms, so that no phrase spans both. It is no character of a term."""


def columns(text: str, language: str = DEFAULT_LANGUAGE) -> tuple[str, str]:
    """Return the two columns of a passage in a language: its exact terms and its stems."""
    terms = document_terms(text, language)
    exact = terms.exact
    if terms.sequence < len(exact):
        exact = [*exact[: terms.sequence], GAP, *exact[terms.sequence :]]
    return " ".join(exact), " ".join(terms.stems)


def compressed(text: str) -> bytes:
    """Return the text as the file keeps it."""
    return zlib.compress(text.encode(), _LEVEL)


def decompressed(text: bytes) -> str:
    """Return the text of ``compressed``.

    Raises:
        CacheUnusable: if the bytes are damaged.
    """
    try:
        return zlib.decompress(text).decode()
    except (zlib.error, UnicodeDecodeError, TypeError) as error:
        raise CacheUnusable(f"a text in it is damaged ({error})") from error
