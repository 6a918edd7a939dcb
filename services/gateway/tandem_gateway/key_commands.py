"""``python -m tandem_gateway keys``: changes the API keys of a gateway, running or stopped."""

import argparse
import os
import pwd
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from tandem_gateway.access.audit import COMMAND_LINE, AuditLine, encoded, rfc3339_now, short
from tandem_gateway.access.document_filter import read_filter
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.errors import GatewayError, InvalidRequest, NotFound
from tandem_gateway.records.access import ROLES, ApiKey

_DURATION: Final = re.compile(r"(\d{1,9})([smhd])\Z")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NO_LIMIT: Final = "none"
_FLAGS: Final = (
    "--name", "--role", "--collections", "--filter", "--expires-in", "--grace", "--limit", "--data-dir",
)  # fmt: skip


def add_commands(commands: Any, prog: str, epilog: str) -> list[str]:
    """Add ``keys`` to the commands of the program, and return the flags of its own commands."""
    text = "make, list, revoke and rotate API keys; a running gateway takes the change over within a second"
    keys = commands.add_parser(
        "keys", prog=f"{prog} keys", help=text, description=text.capitalize() + ".", epilog=epilog
    )
    inner = keys.add_subparsers(dest="key_command", metavar="KEY_COMMAND", required=True)
    for name, help_text in {
        "create": "make a key and write it to standard output, once",
        "list": "list the keys; no list has the text of a key",
        "revoke": "revoke a key for ever",
        "rotate": "give a key a new text and write it to standard output, once",
        "enable": "switch access control on: only requests with a key are answered",
        "disable": "switch access control off; a gateway that other machines reach then needs --insecure to start",
    }.items():
        command = inner.add_parser(
            name, prog=f"{prog} keys {name}", help=help_text, description=help_text.capitalize() + ".", epilog=epilog
        )
        command.add_argument(
            "--data-dir", dest="command_data_dir", metavar="VALUE", help="the data directory (TANDEM_DATA_DIR)"
        )
        if name == "create":
            command.add_argument("--name", dest="key_name", required=True, metavar="NAME", help="tells the key apart")
            command.add_argument("--role", dest="key_role", required=True, choices=ROLES, help="what the key allows")
            command.add_argument(
                "--collections",
                dest="key_collections",
                default="*",
                metavar="GLOBS",
                help="collections that the key may use, separated by commas; * is any run of characters, ? is one "
                "(default *)",
            )
            command.add_argument(
                "--filter",
                dest="key_filter",
                metavar="JSON",
                help='fields of metadata and their values, such as \'{"tenant": "a"}\': the key uses the documents '
                "that have them (default: all)",
            )
            command.add_argument(
                "--expires-in", dest="key_expires_in", metavar="TIME", help="life of the key, such as 12h or 90d"
            )
            command.add_argument(
                "--limit",
                dest="key_own_limits",
                action="append",
                metavar="LIMIT",
                help="a limit of the key, such as requests=100/minute, tokens=1000000/day or documents=5000/day; give "
                "it again for more, or give none for a key without limits. Instead of TANDEM_KEY_LIMITS",
            )
        if name in ("revoke", "rotate"):
            command.add_argument("key_id", metavar="ID", help="id of the key, as list shows it")
        if name == "rotate":
            command.add_argument(
                "--grace",
                dest="key_grace",
                default="0s",
                metavar="TIME",
                help="for how long the present text works beside the new one, such as 1h (default 0s)",
            )
    return list(_FLAGS)


def run(flags: argparse.Namespace, data_dir: Path, audit: Callable[[bytes], object] = lambda line: None) -> int:
    """Run a command on the keys of a data directory, and return the exit status.

    Args:
        flags: the command and its arguments.
        data_dir: the data directory.
        audit: writes a line to the audit log, after a change.

    Raises:
        GatewayError: an argument is not valid, there is no such key, or the keys cannot be read or written.
    """
    store = SqliteKeyStore(data_dir)
    try:
        key_id, code = None, None
        try:
            key_id = _COMMANDS[flags.key_command](flags, store)
        except InvalidRequest as error:
            code = error.code
            raise by_flag(error) from None
        except GatewayError as error:
            code = "not_found" if isinstance(error, NotFound) else getattr(error, "code", "storage_unavailable")
            raise
        finally:
            if flags.key_command in _ACTIONS:
                _record(flags, key_id, code, audit)
    finally:
        store.close()
    return 0


def by_flag(error: InvalidRequest) -> InvalidRequest:
    """Return an error of a key's field that names the flag of the command line instead of the field."""
    field = re.split(r"[.\[]", error.param, maxsplit=1)[0]
    flag = _FLAG_OF.get(field)
    if flag is None:
        return error
    _, _, rest = str(error).partition(": ")
    return InvalidRequest(f"{flag}: {rest}", param=flag, code=error.code)


def _record(flags: argparse.Namespace, key_id: str | None, code: str | None, audit: Callable[[bytes], object]) -> None:
    """Write the line of a change; a change that is made stays, whether its line can be written or not."""
    line = AuditLine(
        time=rfc3339_now(),
        principal=COMMAND_LINE,
        principal_name=_user(),
        action=_ACTIONS[flags.key_command],
        key_id=short(key_id or getattr(flags, "key_id", None)),
        outcome="failed" if code else "done",
        code=code,
    )
    try:
        audit(encoded(line))
    except OSError as error:
        _note(f"the audit log has no line of this: {error.strerror}")


def _user() -> str:
    """Return the name of the user of the operating system, or its number if it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def seconds_of(text: str, param: str) -> int:
    """Return a time such as ``90d`` in seconds; the units are s, m, h and d.

    Raises:
        InvalidRequest: it is not such a time.
    """
    found = _DURATION.match(text)
    if found is None:
        raise InvalidRequest(f"{param}: a whole number and one of s, m, h, d was expected, such as 90d", param=param)
    return int(found[1]) * _SECONDS[found[2]]


def _create(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    globs = [glob.strip() for glob in flags.key_collections.split(",")]
    life = None if flags.key_expires_in is None else seconds_of(flags.key_expires_in, "--expires-in")
    conditions = None if flags.key_filter is None else _filter_of(flags.key_filter)
    key, text = KeyAdministration(store).create(
        NewKey(flags.key_name, flags.key_role, globs, life, conditions, _limits(flags.key_own_limits))
    )
    _show(key, text)
    return key.id


def _limits(given: Sequence[str] | None) -> Sequence[str] | None:
    return [] if given == [_NO_LIMIT] else given


def _filter_of(text: str) -> Any:
    """Return a filter from its JSON.

    Raises:
        InvalidRequest: it is no JSON.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        raise InvalidRequest("--filter: an object as JSON was expected", param="--filter") from None


def _list(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    table = store.table()
    for key in table.keys:
        _say("\t".join(_columns(key)))
    keys = "1 key" if len(table.keys) == 1 else f"{len(table.keys)} keys"
    _note(f"access control is {'on' if table.on else 'off'}; {keys}")
    return None


def _revoke(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    key = KeyAdministration(store).revoke(flags.key_id)
    _note(f"key {key.id} ({key.name}) is revoked")
    table = store.table()
    if table.on and not any_valid(table.keys, time.time()):
        _note(
            "warning: no stored key is valid now; unless the gateway has a key or JWT by a setting, it answers 401 to "
            "every request: make one with 'keys create'"
        )
    return key.id


def any_valid(keys: Iterable[ApiKey], now: float) -> bool:
    """Return whether one of the keys works at a time, in seconds since the epoch."""
    return any(key.revoked_at is None and (key.expires_at is None or key.expires_at > now) for key in keys)


def _rotate(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    key, text = KeyAdministration(store).rotate(flags.key_id, seconds_of(flags.key_grace, "--grace"))
    _show(key, text)
    return key.id


def _enable(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    store.switch(True)
    _note("access control is on")
    return None


def _disable(flags: argparse.Namespace, store: SqliteKeyStore) -> str | None:
    store.switch(False)
    _note("access control is off on loopback addresses; the next key switches it on again")
    return None


_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace, SqliteKeyStore], str | None]]] = {
    "create": _create,
    "list": _list,
    "revoke": _revoke,
    "rotate": _rotate,
    "enable": _enable,
    "disable": _disable,
}

_FLAG_OF: Final = {
    "name": "--name",
    "role": "--role",
    "collections": "--collections",
    "expires_in_seconds": "--expires-in",
    "filter": "--filter",
    "limits": "--limit",
    "grace_seconds": "--grace",
}
"""Field of a key → flag that sets it."""

_ACTIONS: Final[Mapping[str, str]] = {
    "create": "create_key",
    "revoke": "revoke_key",
    "rotate": "rotate_key",
    "enable": "enable_access",
    "disable": "disable_access",
}
"""Command → action in the audit log; the other commands change nothing."""


def _show(key: ApiKey, text: str) -> None:
    """Write the text of a key alone to standard output, so that a shell can keep it."""
    _say(text)
    if key.filter is not None:
        prefix = read_filter(key.filter).namespace.names
        _note(f"its filter is {key.filter}; the ids of its documents begin with {prefix} for keys without a filter")
    _note(f"this is key {key.id} ({key.name}), role {key.role}; it is not shown again")


def _columns(key: ApiKey) -> list[str]:
    state = "revoked" if key.revoked_at is not None else "active"
    return [
        key.id,
        key.name,
        key.role,
        ",".join(key.collections),
        state,
        f"filter {key.filter or 'none'}",
        f"created {_time(key.created_at)}",
        f"expires {_time(key.expires_at)}",
        f"used {_time(key.last_used_at)}",
        *(() if key.limits is None else [f"limits {','.join(map(str, key.limits)) or _NO_LIMIT}"]),
    ]


def _time(at: float | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
