"""Who may call the gateway."""

from dataclasses import dataclass

from tandem_gateway.records.limits import Limit
from tandem_gateway.settings.parsers import api_key, audit_log, limits
from tandem_runtime.settings import boolean, readable_file, setting, whole_number


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
    key_limits: tuple[Limit, ...] = setting(
        "KEY_LIMITS",
        (),
        limits,
        "Limits of every API key that has none of its own, separated by commas, such as requests=100/minute,"
        "tokens=1000000/day,documents=100000/day. A limit for a day counts from midnight UTC; any other is a rate, "
        "with a burst of its number, or of the one after ':burst='. Lower them to protect the service from one client; "
        "if it is empty, nothing is limited",
    )
    usage_days: int = setting(
        "USAGE_DAYS",
        90,
        whole_number(1, 3650),
        "Days for which the usage of each API key is kept. A day takes 100 bytes a key",
    )
    metrics_callers: int = setting(
        "METRICS_CALLERS",
        100,
        whole_number(0, 10_000),
        "API keys that /metrics shows by their ids. The usage of further keys is counted for 'other'. Each key adds "
        "three series",
    )
    audit_log: str = setting(
        "AUDIT_LOG",
        "",
        audit_log,
        "Where the audit log goes: the path of a file, stderr, stdout, or off. If it is empty, the log is audit.log in "
        "the data directory, and has lines while access control is on. If it is set, requests without access control "
        "have lines, too",
    )
    audit_max_bytes: int = setting(
        "AUDIT_MAX_BYTES",
        64 << 20,
        whole_number(0, 1 << 40),
        "Bytes at which the gateway rotates the audit log; 0 leaves rotation to others. Raise it to keep more lines; a "
        "line takes about 400 bytes",
    )
    audit_files: int = setting(
        "AUDIT_FILES",
        10,
        whole_number(0, 1000),
        "Number of rotated files of the audit log that are kept; the oldest is removed. Raise it to keep more lines",
    )
