"""Who may call the gateway."""

from dataclasses import dataclass

from tandem_gateway.settings.parsers import api_key
from tandem_runtime.settings import boolean, readable_file, setting


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may call the gateway; see docs/access.md."""

    api_key: str = setting(
        "API_KEY",
        "",
        api_key,
        "API key of the role admin for every collection, at least 32 characters; it switches access control on. Prefer "
        "TANDEM_API_KEY_FILE: a file is not inherited by other processes",
        secret=True,
        flag=False,
    )
    api_key_file: str = setting(
        "API_KEY_FILE",
        "",
        readable_file,
        "File with such an API key, instead of TANDEM_API_KEY. It is read at the start",
    )
    insecure: bool = setting(
        "INSECURE",
        False,
        boolean,
        "Start without an API key although TANDEM_GATEWAY_HOST is no loopback address. Whoever reaches the port may "
        "then read, change and delete everything",
    )
    metrics_key: bool = setting(
        "METRICS_KEY",
        False,
        boolean,
        "Whether /metrics needs an API key for every collection while access control is on. Its labels have the names "
        "of collections",
    )
