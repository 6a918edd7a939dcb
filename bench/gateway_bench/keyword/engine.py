"""The interface of a keyword engine under test."""

import importlib.util
from collections.abc import Sequence
from typing import Protocol

from gateway_bench.keyword.zipf import Row


class MissingPackage(Exception):
    """An engine's package is not installed; the message says how to install it."""


def require_tantivy() -> None:
    """Raise MissingPackage if tantivy is not installed. It is not a dependency of this project."""
    if importlib.util.find_spec("tantivy") is None:
        raise MissingPackage(
            "the engine tantivy needs the package tantivy: pip install tantivy==0.27.0, or leave the engine out with "
            "--engines fts5-file,fts5-store"
        )


class Damaged(Exception):
    """The engine reported that its files are damaged."""


class Unsupported(Exception):
    """The engine has no such operation."""


class Engine(Protocol):
    """An open index. All methods are called by one thread."""

    def add(self, rows: Sequence[Row]) -> None:
        """Index the rows; on return they are committed and the next search sees them."""

    def remove(self, row_ids: Sequence[int]) -> None:
        """Remove rows; on return no search finds them."""

    def search(self, text: str, limit: int) -> list[int]:
        """Return the row numbers of the best documents with at least one of the words."""

    def phrase(self, text: str, limit: int) -> list[int]:
        """Return documents with the words next to each other."""

    def prefix(self, text: str, limit: int) -> list[int]:
        """Return documents with a word that begins with the text."""

    def within(self, text: str, category: int, limit: int) -> list[int]:
        """Search among the documents of a category."""

    def among(self, text: str, allowed: Sequence[int], limit: int) -> list[int]:
        """Search among the documents with these row numbers."""

    def facets(self, text: str) -> dict[int, int]:
        """Return category → number of documents that match the words."""

    def frequency(self, word: str) -> int:
        """Return in how many documents the engine believes a word to be, for its ranking."""

    def wait(self) -> None:
        """Wait for work in the background, such as merges."""

    def purge(self) -> None:
        """Take the terms of removed documents out of the files, as far as the engine can."""

    def check(self) -> None:
        """Verify all files; raise Damaged if they are not as written."""

    def close(self) -> None:
        """Close the files."""
