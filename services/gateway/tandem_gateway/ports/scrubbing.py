"""The scrub: it compares what is on disk with what was written."""

from typing import Protocol

from tandem_gateway.records.scrubbing import ScrubPage


class Scrubbing(Protocol):
    """Reads the store's rows step by step. Only a store on disk needs it."""

    async def scrub(self, limit: int) -> ScrubPage:
        """Compare the next ``limit`` rows with what was written; after the last row, begin again with the first.

        Raises:
            StorageUnavailable, StorageCorrupt: the rows cannot be read.
        """
        ...
