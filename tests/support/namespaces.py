"""A service that sees other mounts than its tests: its own ``/etc/hosts``, a small or a read-only disk. Needs root."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.tools import missing, tool


def require_mounts() -> None:
    """Skip the test where this process may not mount anything, as in most containers."""
    done = subprocess.run([tool("unshare"), "--mount", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"the right to mount, which root has ({done.stderr.strip()}),")


def python_in(folder: Path, prepare: str) -> Path:
    """Return an interpreter that runs after a shell command, in a mount namespace of its own.

    Args:
        folder: of the script that it is.
        prepare: such as ``mount --bind A B``; nobody else sees what it mounts.
    """
    script = folder / "python"
    inside = shlex.quote(f'{prepare}; exec "$@"')
    script.write_text(f'#!/bin/sh\nexec unshare --mount sh -ec {inside} sh {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return script
