"""Tools that tests need beyond Python: a container engine, the right to mount, kubectl, promtool, chromium.

A test without its tool skips with a message. With TANDEM_TEST_SKIP_NOTHING=1, as in CI, it fails instead.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test that needs ``what``; fail it if tests must not be skipped."""
    if os.environ.get("TANDEM_TEST_SKIP_NOTHING") == "1":
        pytest.fail(f"{what} is missing, and TANDEM_TEST_SKIP_NOTHING=1")
    pytest.skip(f"{what} is missing")


def tool(*names: str) -> str:
    """Return the path of the first installed program of these; the tests' environment comes first."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for name in names:
        path = shutil.which(name, path=places)
        if path is not None:
            return path
    missing(" or ".join(names))


def run(command: Sequence[str | Path], *, timeout: float = 280, **options: object) -> str:
    """Run a command and return its standard output; fail the test if the command fails."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return str(done.stdout)
