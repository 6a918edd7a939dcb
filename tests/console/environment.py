"""What the console's browser programs need: their packages from npm, and Chromium."""

import os
from pathlib import Path
from typing import Final

from tests.support.making import make
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
    make("setup-console")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    return {**inherited, "HOME": str(folder), "CONSOLE_MODULES": str(MODULES), "CONSOLE_CHROMIUM": chromium}
