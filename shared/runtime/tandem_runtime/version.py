"""Reads the version of the installed distribution, which comes from pyproject.toml."""

from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "tandem-services"


def version() -> str:
    """Return the version; "unknown" if the distribution is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
