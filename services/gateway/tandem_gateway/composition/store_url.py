"""Reads the URL of the database from its file."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from tandem_gateway.settings import Settings
from tandem_gateway.settings.parsers import postgres_url
from tandem_runtime.settings import SettingsError

_MAX_BYTES: Final = 4096


def with_store_url(settings: Settings) -> Settings:
    """Return the settings with the URL that the file has, without white space around it; unchanged without a file.

    Raises:
        SettingsError: the file cannot be read, or has no URL of PostgreSQL.
    """
    if not settings.store_url_file:
        return settings
    variable = f"TANDEM_STORE_URL_FILE={settings.store_url_file!r}"
    try:
        with Path(settings.store_url_file).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        url = postgres_url(content.decode().strip())
    except OSError as error:
        raise SettingsError(f"{variable}: {error.strerror}") from None
    except ValueError:  # UnicodeError is a subclass; its message would quote the URL
        url = ""
    if not url or len(content) > _MAX_BYTES:
        raise SettingsError(
            f"{variable}: a URL that begins with postgresql:// was expected, of at most {_MAX_BYTES} bytes"
        )
    return replace(settings, store_url=url, store_url_file="")
