"""Opens the API keys, and refuses to start a gateway that others can reach and nothing protects."""

import ipaddress
import logging
from pathlib import Path
from typing import Final

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.metering import Metering, MeteringEvents
from tandem_gateway.access.tokens import TokenAuthentication
from tandem_gateway.composition.audit import anonymous
from tandem_gateway.composition.stores import open_keys
from tandem_gateway.metrics.callers import CallerMetrics
from tandem_gateway.settings import Settings
from tandem_gateway.settings.parsers import api_key
from tandem_runtime.settings import SettingsError

log = logging.getLogger(__name__)

_MAX_FILE_BYTES: Final = 4096


def open_access(
    settings: Settings, tokens: TokenAuthentication | None = None, metrics: CallerMetrics | None = None
) -> AccessControl:
    """Return the access control of a gateway; blocks for some milliseconds.

    Args:
        settings: the gateway's settings.
        tokens: callers with JWTs; None for none.
        metrics: of the callers; None counts nothing.

    Raises:
        SettingsError: the gateway would listen on an address that others can reach, without a key; or the file of the
            key cannot be used, or the package of the store is not installed.
        StorageError: the keys cannot be read.
    """
    exposed = not is_loopback(settings.host)
    store = open_keys(settings)
    bootstrap = settings.api_key or _key_in_file(settings.api_key_file)
    events = None
    if metrics is not None:
        metrics.shown = settings.metrics_callers
        events = MeteringEvents(metrics.used, metrics.refused)
    metering = Metering(
        store, settings.key_limits, keep_days=settings.usage_days, shared=bool(settings.store_url), events=events
    )
    access = AccessControl(store, bootstrap=bootstrap, tokens=tokens, metering=metering)
    access.anonymous = anonymous(settings)
    try:
        access.load()
        metering.load()
        if exposed and not access.on and not settings.insecure:
            if access.has_keys:
                raise SettingsError(
                    f"TANDEM_GATEWAY_HOST={settings.host} is reachable from other machines and access control is "
                    "switched off: switch it on with 'python -m tandem_gateway keys enable', or allow everybody with "
                    "--insecure"
                )
            raise SettingsError(
                f"TANDEM_GATEWAY_HOST={settings.host} is reachable from other machines and there is no API key: make "
                "one with 'python -m tandem_gateway keys create --name NAME --role admin', set TANDEM_API_KEY_FILE "
                "or TANDEM_JWT_JWKS, or allow everybody with --insecure"
            )
        if (bootstrap or tokens is not None) and not store.table().on:
            store.switch(True)  # removing the setting must not open the gateway
            access.load()
    except BaseException:
        store.close()
        raise
    if access.on and exposed and not settings.insecure:
        access.require()
    if access.on and not access.has_keys and tokens is None:
        log.warning(
            "access control is on, and no API key is valid: make one with 'python -m tandem_gateway keys create'"
        )
    if exposed and not access.on:
        log.warning(
            "access control is off: whoever reaches this address may read, change and delete everything",
            extra={"host": settings.host},
        )
    return access


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address to listen on; a name other than localhost counts as no."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _key_in_file(path: str) -> str:
    """Return the key in a file, without white space around it; empty without a file.

    Raises:
        SettingsError: the file cannot be read, or has no key.
    """
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        key = api_key(content.decode("ascii").strip())
    except OSError as error:
        raise SettingsError(f"TANDEM_API_KEY_FILE={path!r}: {error.strerror}") from None
    except ValueError:  # UnicodeError is a subclass; its message would quote the key
        key = ""
    if not key:
        raise SettingsError(
            f"TANDEM_API_KEY_FILE={path!r}: 32 to 512 printable ASCII characters without a space were expected"
        )
    return key
