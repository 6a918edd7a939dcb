"""The files of a request: order, turns, deadline."""

import asyncio
import weakref
from collections.abc import Callable

import pytest

from tandem_gateway.errors import DeadlineExceeded, Overloaded
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_gateway.use_cases.file_extraction import FileExtraction, repeated
from tests.support.fakes import eventually
from tests.support.freed import assert_gone, no_collector

TASK = ExtractionTask()


class Scripted:
    """An extractor that waits until the test lets a file go."""

    at_once = 2

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.going = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def count(self) -> int:
        return self.going

    async def extract(self, file: UploadedFile, task: ExtractionTask, hold: Callable[[int], None]) -> Extraction:
        self.begun.append(file.name)
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            await self.gate.wait()
            if file.name == "overloaded":
                raise Overloaded("no process")
            return Extraction(file.name.encode())
        finally:
            self.going -= 1


def files(*names: str) -> list[UploadedFile]:
    return [UploadedFile(name, b"") for name in names]


async def test_results_come_in_order_and_few_files_are_read_at_a_time() -> None:
    extractor = Scripted()
    work = asyncio.create_task(FileExtraction(extractor, timeout=10).extract(files(*"abcda"), TASK, lambda held: None))
    await eventually(extractor.count, lambda going: going == 2)
    extractor.gate.set()
    found = await work
    assert [each.lines for each in found] == [b"a", b"b", b"c", b"d", b""]
    assert found[4].error == "another file before it has the same name"
    assert (extractor.begun, extractor.most) == (["a", "b", "c", "d"], 2)


async def test_after_the_deadline_no_file_is_still_read() -> None:
    extractor = Scripted()
    with pytest.raises(DeadlineExceeded, match="TANDEM_FILES_TIMEOUT_SECONDS"):
        await FileExtraction(extractor, timeout=0.01).extract(files("a", "b", "c"), TASK, lambda held: None)
    assert (extractor.begun, extractor.going) == (["a", "b"], 0)


async def test_an_error_of_one_file_ends_the_others() -> None:
    extractor = Scripted()
    extractor.gate.set()
    with pytest.raises(Overloaded):
        await FileExtraction(extractor, timeout=10).extract(files("a", "overloaded", "b"), TASK, lambda held: None)
    assert extractor.going == 0


class Holding:
    """Holds bytes of the memory budget, as long as anything refers to it."""

    def __call__(self, held: int) -> None:
        """Hold more."""


async def begin(extractor: Scripted, timeout: float, *names: str) -> tuple[asyncio.Task[bool], weakref.ref[object]]:
    """Begin to read files, as a handler does, which keeps no error: the result is whether there was one."""
    hold = Holding()

    async def fails(hold: Holding) -> bool:
        try:
            await FileExtraction(extractor, timeout=timeout).extract(files(*names), TASK, hold)
        except (asyncio.CancelledError, DeadlineExceeded, Overloaded):
            return True
        return False

    task = asyncio.create_task(fails(hold))
    await eventually(extractor.count, lambda going: going == 2)
    return task, weakref.ref(hold)


@pytest.mark.parametrize("end", ["the client leaves", "the deadline", "an error"])
async def test_what_a_request_holds_is_freed_at_once_if_its_files_are_not_read(end: str) -> None:
    extractor = Scripted()
    with no_collector():
        task, hold = await begin(extractor, 0.1 if end == "the deadline" else 10, "a", "overloaded", "b")
        if end == "the client leaves":
            task.cancel()
        elif end == "an error":
            extractor.gate.set()
        assert await task
        await assert_gone([hold])


def test_only_the_first_of_files_with_one_name_is_read() -> None:
    assert [each is None for each in repeated(files("a", "b", "a", "A"))] == [True, True, False, True]
