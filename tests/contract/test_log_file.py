"""A log file is rotated, survives rotation by others, and never has half a line."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from tandem_runtime import log_writer
from tandem_runtime.log_file import LogFile
from tandem_runtime.log_writer import LogWriter

WAIT_SECONDS = 20.0


def test_lines_are_appended_to_what_is_there_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for line in (b"first\n", b"second\n"):
        file = LogFile(path)
        file.append(line)
        file.close()
    assert path.read_bytes() == b"first\nsecond\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_full_file_is_rotated_and_the_newest_are_kept(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(path, 10, kept)
    for number in range(10):
        file.append(b"line %d\n" % number)
    assert path.read_bytes() == b"line 9\n"
    older = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each != path}
    assert older == {f"audit.log.{n}": b"line %d\n" % (9 - n) for n in range(1, kept + 1)}


def test_a_line_beyond_the_size_is_written_whole(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "audit.log", 10, 1)
    file.append(b"x" * 100 + b"\n")
    assert (tmp_path / "audit.log").read_bytes() == b"x" * 100 + b"\n"


@pytest.mark.parametrize("change", ["rename", "remove", "replace"])
def test_a_file_that_others_rotate_is_opened_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(path)
    file.append(b"before\n")
    if change == "rename":
        path.rename(tmp_path / "moved")
    elif change == "remove":
        path.unlink()
    else:
        (tmp_path / "new").write_bytes(b"")
        (tmp_path / "new").replace(path)
    file.append(b"after\n")
    assert path.read_bytes() == b"after\n"


def test_two_writers_keep_their_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    def write(name: bytes, size: int) -> None:
        file = LogFile(path, size, 1000)
        for _ in range(200):
            file.append(name * 50 + b"\n")

    threads = [threading.Thread(target=write, args=each) for each in ((b"a", 1000), (b"b", 0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for file in tmp_path.iterdir() for line in file.read_bytes().splitlines()]
    assert sorted(lines) == [b"a" * 50] * 200 + [b"b" * 50] * 200


def test_a_failed_write_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.log"
    file = LogFile(path)
    file.append(b"before\n")
    real = os.write
    full = iter([True, False])

    def write(fd: int, data: bytes) -> int:
        if next(full):
            return real(fd, bytes(data[:3]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            file.append(b"lost\n")
    file.append(b"after\n")
    assert path.read_bytes() == b"before\nafter\n"


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "nowhere"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path = tmp_path / "absent" / "log"
    with pytest.raises(OSError):  # noqa: PT011 - each has its own number
        LogFile(path).check()


def test_lines_wait_while_they_cannot_be_written_and_lost_ones_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "RETRY_SECONDS", 0.001)
    tried, works = threading.Event(), threading.Event()
    written: list[bytes] = []
    lost: list[int] = []

    def write(data: bytes) -> bool:
        tried.set()
        if works.is_set():
            written.append(data)
        return works.is_set()

    log = LogWriter(write, lambda count: b"lost %d\n" % count, 12, on_dropped=lost.append)
    log.write(b"first\n", 1)
    assert tried.wait(WAIT_SECONDS)
    log.write(b"second\n", 1)
    log.write(b"third\n", 1)
    log.write(b"4\n5\n", 2)
    assert lost == [1, 2]
    works.set()
    assert log.flush(WAIT_SECONDS)
    assert written == [b"first\n", b"third\nlost 3\n"]
