"""The language of a collection, by which words have stems in keyword search."""

from typing import Final

DEFAULT_LANGUAGE: Final = "english"
"""Language of a collection that was given none."""
