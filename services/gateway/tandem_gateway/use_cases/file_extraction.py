"""Read the files of a request."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.ports.file_extraction import FileExtractor
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_runtime.durations import duration


class FileExtraction:
    """Reads the files of a request, several at a time; requests take turns."""

    def __init__(self, extractor: FileExtractor, *, timeout: float) -> None:
        """Make it.

        Args:
            extractor: reads one file.
            timeout: maximum seconds for all files of a request.
        """
        self._extractor = extractor
        self._timeout = timeout

    async def extract(
        self, files: Sequence[UploadedFile], task: ExtractionTask, hold: Callable[[int], None]
    ) -> list[Extraction]:
        """Return what was read from each file, in order; a file that cannot be read has its error there.

        Args:
            files: the files. Of files with the same name, only the first is read: they would be the same document.
            task: for every file.
            hold: as in ``FileExtractor.extract``.

        Raises:
            DeadlineExceeded: the files took too long together.
            Overloaded: as in ``FileExtractor.extract``.
        """
        results = repeated(files)
        # No request waits with more files than are read at a time, so a small one has its turn after these.
        waiting = iter([place for place, result in enumerate(results) if result is None])

        async def read_files() -> None:
            for place in waiting:
                results[place] = await self._extractor.extract(files[place], task, hold)

        try:
            async with asyncio.timeout(self._timeout):
                await _all([read_files() for _ in range(min(self._extractor.at_once, len(files)))])
        except TimeoutError:
            raise DeadlineExceeded(
                f"the files were not read within {duration(self._timeout)} (TANDEM_FILES_TIMEOUT_SECONDS); send fewer"
            ) from None
        return [result for result in results if result is not None]


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all, and raise the first error after the others have ended.

    It is no ``TaskGroup``: that one's errors refer to themselves, so that only the garbage collector would free the
    files and their part of the memory budget.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failures = [task.exception() for task in tasks if not task.cancelled()]
    failure = next((each for each in failures if each is not None), None)
    if failure is None:
        return
    try:
        raise failure
    finally:
        del tasks, task, failures, failure  # breaks the reference cycle: error, traceback, this frame, error


def repeated(files: Sequence[UploadedFile]) -> list[Extraction | None]:
    """Return an error for each file whose name an earlier one has, and None for the others."""
    seen: set[str] = set()
    results: list[Extraction | None] = []
    for file in files:
        results.append(Extraction(error="another file before it has the same name") if file.name in seen else None)
        seen.add(file.name)
    return results
