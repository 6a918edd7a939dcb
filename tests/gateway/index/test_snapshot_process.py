"""The process that saves the indexes: every failure becomes the one declared error."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from tandem_gateway.adapters.snapshot_process import SnapshotProcess
from tandem_gateway.errors import StorageUnavailable


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
async def test_a_process_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int):
    async def start(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    with pytest.raises(StorageUnavailable, match=os.strerror(number)):
        await SnapshotProcess(tmp_path, 1).run()


@pytest.mark.parametrize(("script", "said"), [("echo no JSON", "cannot be understood"), ("exit 3", "status 3")])
async def test_a_process_that_says_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(StorageUnavailable, match=said):
        await SnapshotProcess(tmp_path, 1).run()


async def test_a_process_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(StorageUnavailable, match=r"longer than 100 ms"):
        await SnapshotProcess(tmp_path, 1, timeout=0.1).run()
