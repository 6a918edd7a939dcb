"""The version of the installed distribution, which is that of pyproject.toml."""

from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "tandem-search"


def version() -> str:
    """Return the version; "unknown" where the code runs without having been installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
