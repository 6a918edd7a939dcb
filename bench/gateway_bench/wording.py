"""Words and cells that several reports share."""

from collections.abc import Mapping

_CELL_CHARS = 300


def escaped(text: str) -> str:
    """Return a text as one line that a Markdown table's cell can hold, of at most 300 characters."""
    return " ".join(text.replace("|", "/").split())[:_CELL_CHARS]


def error_counts(errors: Mapping[str, int]) -> str:
    """Return kinds of errors with their numbers, for a sentence."""
    return ", ".join(f"{count} × {kind}" for kind, count in errors.items())
