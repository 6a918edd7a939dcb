"""A log without a reader does not block the service, and the log reports dropped lines."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tandem_runtime.log_writer import LogWriter

WAIT_SECONDS = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def writer_to(fd: int, max_bytes: int = 1 << 20) -> LogWriter:
    return LogWriter(fd, lambda count: b"dropped %d\n" % count, max_bytes)


def read_lines(fd: int, last: bytes) -> list[bytes]:
    received = b""
    while not received.endswith(last + b"\n"):
        received += os.read(fd, 65536)
    return received.splitlines()


def test_lines_of_several_threads_are_written_whole_and_in_each_ones_order(pipe: tuple[int, int]) -> None:
    log = writer_to(pipe[1])

    def write(name: int) -> None:
        for number in range(100):
            log.write(b"%d %d\n" % (name, number), 1)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.write(b"end\n", 1)
    lines = read_lines(pipe[0], b"end")
    for name in range(3):
        mine = [line for line in lines if line.startswith(b"%d " % name)]
        assert mine == [b"%d %d" % (name, number) for number in range(100)]
    assert log.flush(WAIT_SECONDS)


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_that_do_not_fit_are_dropped_and_counted_once_the_log_is_read(
    pipe: tuple[int, int], blocking: bool
) -> None:
    os.set_blocking(pipe[1], blocking)
    log = writer_to(pipe[1], max_bytes=200_000)
    line = b"x" * 999 + b"\n"
    for _ in range(1000):
        log.write(line, 1)
    assert not log.flush(0.0)
    received, kept, dropped = b"", 0, 0
    while kept + dropped < 1000:
        received += os.read(pipe[0], 65536)
        lines = received.split(b"\n")[:-1]
        kept = lines.count(line[:-1])
        dropped = sum(int(line.split()[1]) for line in lines if line.startswith(b"dropped"))
    assert kept + dropped == 1000
    assert kept >= 200
    assert dropped > 0
    assert log.flush(WAIT_SECONDS)
    log.write(b"end\n", 1)
    assert read_lines(pipe[0], b"end") == [b"end"]


def test_a_log_without_a_reader_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = writer_to(writing)
    log.write(b"x\n", 1)
    assert log.flush(WAIT_SECONDS)
    os.close(writing)


SCRIPT = """
import asyncio, logging
from tandem_runtime import logs
from tandem_runtime.access_log import make_access_log
logs.configure("gateway")
access = make_access_log("gateway", wanted=True)
async def work():
    for number in range(100_000):
        access.record({"method": "GET", "path": "/" + "x" * 100}, 200, 0.001)
    access.flush()
asyncio.run(work())
logging.getLogger("last").warning("end")
print("served", flush=True)
"""


@pytest.mark.parametrize("read", [True, False])
def test_a_process_whose_log_is_not_read_works_and_ends(read: bool) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == b"served\n"
        if not read:
            assert process.wait(WAIT_SECONDS) == 0
        lines = process.stderr.read().splitlines()
        assert process.wait(WAIT_SECONDS) == 0
    assert json.loads(lines[0])["path"].startswith("/x")
    if read:
        last = json.loads(lines[-1])
        assert (last["level"], last["service"], last["message"]) == ("warning", "gateway", "log lines were dropped")
        assert last["dropped"] > 10_000
