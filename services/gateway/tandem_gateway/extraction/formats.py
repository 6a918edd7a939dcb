"""The formats by the end of a file's name, and the packages that each needs."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of files.

    Attributes:
        name: its name in messages.
        package: import name of the package that it needs, of the extra ``files``; None if it needs none.
    """

    name: str
    package: str | None = None


EXTRA: Final = "files"
"""Name of the extra that installs the packages."""

FORMATS: Final = {
    ".txt": FileFormat("text"),
    ".md": FileFormat("markdown"),
    ".html": FileFormat("html", "selectolax"),
    ".htm": FileFormat("html", "selectolax"),
    ".csv": FileFormat("csv"),
    ".jsonl": FileFormat("jsonl"),
    ".pdf": FileFormat("pdf", "pypdf"),
    ".docx": FileFormat("docx", "docx"),
}
"""End of a name, in lower case → format."""


def format_of(name: str) -> FileFormat | None:
    """Return the format of a file by the end of its name; None if there is none."""
    return FORMATS.get(PurePosixPath(name).suffix.lower())
