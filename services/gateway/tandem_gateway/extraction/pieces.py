"""What the extractors return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


class Unreadable(Exception):
    """The file cannot be read; ``str()`` says why, for the client."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that becomes a document.

    Attributes:
        text: the text.
        number: number of the page or row in the file, from 1; None if the piece is the whole file.
        row_id: the row's own id; None if it has none.
        metadata: field → value; values may be raw JSON.
        format: whether the text is Markdown.
    """

    text: str
    number: int | None = None
    row_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format: Literal["text", "markdown"] = "text"
