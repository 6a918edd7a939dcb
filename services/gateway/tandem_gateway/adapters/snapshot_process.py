"""Saves the indexes in a separate process, because usearch holds the GIL for the whole duration of a save.

The helper loads the last snapshot, catches up from the store and writes the next snapshot. The gateway keeps serving
requests meanwhile.
"""

import asyncio
import logging
import sys
from pathlib import Path

import msgspec

from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.index import Saved
from tandem_runtime.durations import duration

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(list[Saved])
_MAX_ERROR = 500


class SnapshotProcess:
    """Implements ``SnapshotHelper``: ``python -m tandem_gateway snapshot``."""

    def __init__(self, data_dir: Path, exact_below: int, *, timeout: float = 1800.0) -> None:
        """Make the helper.

        Args:
            data_dir: the data directory.
            exact_below: the gateway's setting of this name, passed to the helper.
            timeout: seconds after which a run is killed.
        """
        self._data_dir = data_dir
        self._exact_below = exact_below
        self._timeout = timeout

    async def run(self) -> list[Saved]:
        """Run the helper once; see ``SnapshotHelper.run``. Cancellation kills the process."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tandem_gateway",
                "--exact-below",
                str(self._exact_below),
                "snapshot",
                "--data-dir",
                str(self._data_dir),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:  # out of file descriptors, processes or memory
            raise StorageUnavailable(f"the snapshot's process could not be started: {error}") from error
        try:
            async with asyncio.timeout(self._timeout):
                output, errors = await process.communicate()
        except TimeoutError:
            raise StorageUnavailable(f"the snapshot took longer than {duration(self._timeout)}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip()[-_MAX_ERROR:]
            raise StorageUnavailable(f"the snapshot failed (status {process.returncode}): {said}")
        try:
            return _decoder.decode(output)
        except msgspec.MsgspecError as error:
            raise StorageUnavailable(f"the snapshot's process cannot be understood: {error}") from error
