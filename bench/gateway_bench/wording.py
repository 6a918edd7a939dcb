"""Text that several reports share."""

from collections.abc import Mapping

_CELL_CHARS = 300


def escaped(text: str) -> str:
    """Return a text as one line of at most 300 characters for a cell of a Markdown table."""
    return " ".join(text.replace("|", "/").split())[:_CELL_CHARS]


def error_counts(errors: Mapping[str, int]) -> str:
    """Return the kinds of errors with their numbers, as part of a sentence."""
    return ", ".join(f"{count} × {kind}" for kind, count in errors.items())
