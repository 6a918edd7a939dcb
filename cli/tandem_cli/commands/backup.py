"""The commands ``backup`` and ``restore``, for a store in a data directory of this machine."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from tandem_cli import help as helps
from tandem_cli.app import app
from tandem_cli.dev.folders import data_dir as default_data_dir
from tandem_cli.failures import Failed, UsageError

STORE = "tandem.sqlite3"
KEYS = ("access.db", "access.secret")
KEPT = ("lost+found", "logs")
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
    """Put a backup into the data directory of a stopped gateway, and check it.

    The API keys come back too, if their files are beside the backup. At its next start the gateway builds its indexes.
    """
    folder = default_data_dir(data_dir, os.environ, Path.home())
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_stopped(folder)
        present = [path for path in folder.iterdir() if path.name not in KEPT and not path.name.startswith("replaced-")]
        if present and not replace:
            raise UsageError(f"{folder} is not empty; --replace moves what it has aside")
        if present:
            aside = folder / f"replaced-{int(time.time())}"
            aside.mkdir(mode=0o700)
            for path in present:
                path.rename(aside / path.name)
            print(f"tandem: moved {len(present)} files into {aside}")
        _copy(file, folder / STORE)
        for name in KEYS:
            beside = file.with_name(f"{file.name}.{name}")
            if beside.is_file():
                _copy(beside, folder / name)
    except OSError as error:
        raise Failed(f"{folder} cannot be restored: {error}") from error
    _gateway("verify", folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that its owner alone can read it at any time, and that it is on disk at the end."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())


def _require_stopped(folder: Path) -> None:
    """Check that no gateway holds the directory's lock.

    Raises:
        Failed: one does.
    """
    lock = folder / "gateway.lock"
    if not lock.exists():
        return
    with lock.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"a gateway uses {folder}; stop it first") from None


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
