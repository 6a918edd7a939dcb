"""Reads documents from files."""

from collections.abc import Callable
from typing import Protocol

from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile


class FileExtractor(Protocol):
    """Reads documents from files that nobody can trust. Whatever a file holds, the gateway stays as it is."""

    @property
    def at_once(self) -> int:
        """Number of files that are read at a time, at least 1; others wait."""
        ...

    async def extract(self, file: UploadedFile, task: ExtractionTask, hold: Callable[[int], None]) -> Extraction:
        """Return the documents of a file. Cancellation ends the work.

        Args:
            file: the file.
            task: what to do with it.
            hold: called with the number of bytes that the result grows by; any thread may call it. It may raise, which
                ends the work.

        Raises:
            Overloaded: the machine has no process or memory for it now.
            Exception: whatever ``hold`` raises.
        """
        ...
