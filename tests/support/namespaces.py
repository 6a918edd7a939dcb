"""A service with mounts of its own: its own ``/etc/hosts``, a small or a read-only disk. Needs root."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.tools import missing, tool


def require_mounts() -> None:
    """Skip the test if this process may not mount anything, as in most containers."""
    done = subprocess.run([tool("unshare"), "--mount", "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"the right to mount, which root has ({done.stderr.strip()}),")


def python_in(folder: Path, prepare: str) -> Path:
    """Return an interpreter that first runs a shell command in its own mount namespace.

    Args:
        folder: where to write the interpreter's script.
        prepare: shell command, such as ``mount --bind A B``; other processes do not see its mounts.
    """
    script = folder / "python"
    inside = shlex.quote(f'{prepare}; exec "$@"')
    script.write_text(f'#!/bin/sh\nexec unshare --mount sh -ec {inside} sh {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return script
