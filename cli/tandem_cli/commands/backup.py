"""The commands ``backup`` and ``restore``, for a store in a data directory of this machine."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tandem_cli import help as helps
from tandem_cli.app import app
from tandem_cli.dev.folders import data_dir as default_data_dir
from tandem_cli.failures import Failed, UsageError

STORE = "tandem.sqlite3"
KEYS = ("access.db", "access.secret")
LOCK = "gateway.lock"
KEPT = ("lost+found", "logs", LOCK)
"""Entries of a data directory that a restore leaves in their place, besides ``replaced-*``."""

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="The gateway's data directory. Else TANDEM_DATA_DIR, else that of tandem dev.",
    ),
]


def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it must not exist.")],
    data_dir: DataDir = None,
) -> None:
    """Copy the store of a gateway on this machine, running or stopped, to a new file, and check the copy.

    API keys and their secret get files beside it. A store in PostgreSQL is backed up by the database's own tools.
    """
    folder = default_data_dir(data_dir, os.environ, Path.home())
    _gateway("backup", folder, "--to", str(to.absolute()))


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that tandem backup wrote.")],
    data_dir: DataDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what the directory has now into replaced-SECONDS in it.")
    ] = False,
) -> None:
    """Check a backup, and put it into the data directory of a stopped gateway.

    The API keys come back too, if their files are beside the backup. At its next start the gateway builds its indexes.
    """
    folder = default_data_dir(data_dir, os.environ, Path.home())
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _stopped(folder):
            present = [path for path in folder.iterdir() if _is_moved(path.name)]
            if present and not replace:
                raise UsageError(f"{folder} is not empty; --replace moves what it has aside")
            _restore(file, folder, present)
    except OSError as error:
        raise Failed(f"{folder} cannot be restored: {error}") from error


def _is_moved(name: str) -> bool:
    return name not in KEPT and not name.startswith("replaced-")


def _restore(file: Path, folder: Path, present: list[Path]) -> None:
    """Copy a backup beside what the folder has, check the copy, and only then move the one aside and the other in.

    Raises:
        Failed: the backup is damaged; nothing was moved.
    """
    copy = Path(tempfile.mkdtemp(prefix="restoring-", dir=folder))
    try:
        _copy(file, copy / STORE)
        for name in KEYS:
            beside = file.with_name(f"{file.name}.{name}")
            if beside.is_file():
                _copy(beside, copy / name)
        _gateway("verify", copy)
        if present:
            aside = folder / f"replaced-{int(time.time())}"
            aside.mkdir(mode=0o700)
            for path in present:
                path.rename(aside / path.name)
            print(f"tandem: moved {len(present)} files into {aside}")
        for path in list(copy.iterdir()):
            if _is_moved(path.name):
                path.rename(folder / path.name)
        print(f"tandem: restored {folder}")
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that its owner alone can read it at any time, and that it is on disk at the end."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


@contextmanager
def _stopped(folder: Path) -> Iterator[None]:
    """Hold the directory's lock, so that no gateway starts meanwhile.

    Raises:
        Failed: a gateway holds it.
    """
    with os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"a gateway uses {folder}; stop it first") from None
        yield


def _gateway(command: str, folder: Path, *arguments: str) -> None:
    """Run a command of the gateway, which prints what it does.

    Raises:
        Failed: with the status of the command.
    """
    full = [sys.executable, "-m", "tandem_gateway", command, "--data-dir", str(folder), *arguments]
    status = subprocess.run(full, stdin=subprocess.DEVNULL, check=False).returncode
    if status:
        failure = UsageError if status == UsageError.status else Failed
        raise failure(f"the gateway's command {command} ended with status {status}")


for _command, _example in (
    (backup, "tandem backup backup.sqlite3"),
    (restore, "tandem restore backup.sqlite3 --data-dir ./restored"),
):
    helps.example(_command, _example)
    app.command(help=helps.text(_command), epilog=helps.epilog(_command))(_command)
