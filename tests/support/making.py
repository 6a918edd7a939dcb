"""Makes what a group of tests needs beyond the environment of all, such as packages of npm."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_tools.process import inherited_environment

REPOSITORY = Path(__file__).resolve().parents[2]


def make(target: str) -> None:
    """Run a target of the Makefile, and fail the test if it fails; one at a time, of all processes of a run."""
    cache = REPOSITORY / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "make.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "--no-print-directory", f"PYTHON={sys.executable}", target],
            cwd=REPOSITORY,
            env=inherited_environment("MAKE", "MFLAGS"),
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
        )
    if made.returncode:
        pytest.fail(f"make {target} failed:\n{made.stdout}{made.stderr}", pytrace=False)
