"""The version of this distribution."""

from importlib import metadata


def version() -> str:
    """Return it; "unknown" where the code runs without having been installed."""
    try:
        return metadata.version("tandem-search")
    except metadata.PackageNotFoundError:
        return "unknown"
