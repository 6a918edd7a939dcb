"""Files that clients upload, and what the gateway reads from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as a client sends it.

    Attributes:
        name: its name, which the client chose; may be anything.
        content: its bytes.
    """

    name: str
    content: bytes | bytearray


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was read from a file.

    Attributes:
        lines: a document a line, as JSON in the shape of an ingest's document; empty if there is an error.
        error: why the file could not be read, for the client; None if it could.
    """

    lines: bytes = b""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ExtractionTask:
    """What an extraction needs besides the file.

    Attributes:
        metadata: field → value (raw JSON) for every document.
        max_documents: maximum number of documents in one file.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    max_documents: int = 1
