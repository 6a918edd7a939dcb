"""A data directory has one owner, whatever ended the previous one."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.errors import StorageInUse, StorageUnavailable

_HOLD = """
import sys
from pathlib import Path
from tandem_gateway.adapters.data_lock import OWNER, DataLock
lock = DataLock(Path(sys.argv[1]), OWNER)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_learns_the_first(tmp_path: Path):
    lock = DataLock(tmp_path, OWNER)
    with pytest.raises(StorageInUse, match=rf"in use by process {os.getpid()} "):
        DataLock(tmp_path, OWNER)
    DataLock(tmp_path, SNAPSHOT).release()
    lock.release()
    DataLock(tmp_path, OWNER).release()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageInUse, match=f"process {holder.pid} "):
            DataLock(tmp_path, OWNER)
        holder.kill()
        holder.wait()
        lock = DataLock(tmp_path, OWNER)
    assert (tmp_path / OWNER).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_waiting_caller_gets_the_lock_when_it_is_free(tmp_path: Path):
    lock = DataLock(tmp_path, OWNER)
    timer = threading.Timer(0.05, lock.release)
    timer.start()
    second = DataLock(tmp_path, OWNER, wait=20.0)
    timer.join()
    with pytest.raises(StorageInUse):
        DataLock(tmp_path, OWNER, wait=0.03)
    second.release()


def test_the_directory_is_made(tmp_path: Path):
    DataLock(tmp_path / "a" / "b", OWNER).release()
    assert (tmp_path / "a" / "b" / OWNER).is_file()


def test_an_unusable_directory_is_reported(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        DataLock(tmp_path / "file", OWNER)


def test_to_remove_the_lock_s_file_lets_no_second_owner_in(tmp_path: Path):
    lock = DataLock(tmp_path, OWNER)
    (tmp_path / OWNER).unlink()
    with pytest.raises(StorageInUse, match="in use by process"):
        DataLock(tmp_path, OWNER)
    DataLock(tmp_path, SNAPSHOT).release()
    lock.release()
    DataLock(tmp_path, OWNER).release()


def test_a_file_system_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageUnavailable, match="cannot be locked"):
        DataLock(tmp_path, OWNER)
