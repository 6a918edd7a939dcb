"""Default folders of ``tandem dev``, as each platform wants them."""

import sys
from collections.abc import Mapping
from pathlib import Path

MODEL_NAME = "all-MiniLM-L6-v2"


def user_data_dir(environment: Mapping[str, str], home: Path, platform: str = sys.platform) -> Path:
    """Return the folder for what Tandem keeps for this user.

    On Linux it is ``$XDG_DATA_HOME/tandem``, or ``~/.local/share/tandem`` if that variable is missing or relative: the
    XDG specification says to ignore a relative path. On macOS it is ``~/Library/Application Support/tandem``.
    """
    if platform == "darwin":
        return home / "Library" / "Application Support" / "tandem"
    named = Path(environment.get("XDG_DATA_HOME", ""))
    return (named if named.is_absolute() else home / ".local" / "share") / "tandem"


def data_dir(given: Path | None, environment: Mapping[str, str], home: Path) -> Path:
    """Return the gateway's data directory: the option, ``TANDEM_DATA_DIR``, or the user's."""
    if given is not None:
        return given
    named = environment.get("TANDEM_DATA_DIR", "")
    return Path(named) if named else user_data_dir(environment, home) / "data"


def model_dir(given: Path | None, environment: Mapping[str, str], home: Path) -> Path:
    """Return the folder of the prepared model: the option, ``TANDEM_MODEL_DIR``, or the user's."""
    if given is not None:
        return given
    named = environment.get("TANDEM_MODEL_DIR", "")
    return Path(named) if named else user_data_dir(environment, home) / "models" / MODEL_NAME
