"""The one thread that reads for the ports of the store, each time in one state of the file."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tandem_gateway.adapters.sqlite.connection import connect, read_transaction, translated
from tandem_gateway.adapters.sqlite.presence import Presence
from tandem_gateway.errors import StorageCorrupt, StorageError, for_log

log = logging.getLogger(__name__)

R = TypeVar("R")


class Reader:
    """Runs reads in the order of ``run``; see the module."""

    def __init__(self, path: Path, presence: Presence, on_damage: Callable[[], None]) -> None:
        """Open the file.

        Args:
            path: of the file.
            presence: tells whether the file is still there.
            on_damage: called in the thread after a read that found damage.
        """
        self._path = path
        self._presence = presence
        self._on_damage = on_damage
        self._connection = connect(path, writable=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")

    async def run(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        """Run a read in the thread, in one transaction.

        Raises:
            StorageError: if the file cannot be read.
        """

        def run() -> R:
            try:
                self._presence.check()
                with translated(self._path), read_transaction(self._connection):
                    return statement(self._connection)
            except StorageError as error:
                if isinstance(error, StorageCorrupt):
                    self._on_damage()
                log.error("a read failed", extra={"error": for_log(error)})
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """Finish the reads and close the file; blocks."""
        self._thread.shutdown()
        self._connection.close()
