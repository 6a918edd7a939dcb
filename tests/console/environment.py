"""What the console's browser programs need: their packages from npm, and Chromium."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tandem_tools.process import inherited_environment
from tests.support.tools import tool

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MODULES: Final = REPOSITORY / ".cache" / "console"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a program that drives the browser; makes ``.cache/console`` if it is missing.

    Args:
        folder: folder for what the browser writes.
    """
    tool("npm")
    chromium = tool("chromium", "chromium-browser", "google-chrome")
    made = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", "setup-console"],
        cwd=REPOSITORY,
        env=inherited_environment("MAKE", "MFLAGS"),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if made.returncode:
        pytest.fail(
            f"the packages of the console's tests cannot be installed:\n{made.stdout}{made.stderr}", pytrace=False
        )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    return {**inherited, "HOME": str(folder), "CONSOLE_MODULES": str(MODULES), "CONSOLE_CHROMIUM": chromium}
