"""``python -m tandem_gateway``: serves; its commands look after its data and its API keys."""

import os

# Set before the import of numpy: OpenBLAS would start one thread per core, without a gain for arrays this small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

import msgspec

from tandem_gateway import __version__, key_commands
from tandem_gateway.composition.audit import audit_sink
from tandem_gateway.composition.store_url import with_store_url
from tandem_gateway.composition.stores import move, open_feed, open_keys
from tandem_gateway.errors import GatewayError, StorageError, StorageUnavailable, for_log
from tandem_gateway.settings import Settings
from tandem_runtime import allocator, logs
from tandem_runtime.settings import SettingsError, add_flags, describe, parse_flags, read
from tandem_runtime.unknown_settings import warnings_of

_STATUSES = "Exit status: 0 for success, 1 for damage or a failed start, 2 for a bad setting or argument."


def main() -> int:
    """Run a command and return the exit status."""
    allocator.set_parameters({allocator.ARENA_MAX: 1})  # ten threads allocate little: one arena saves 2 MiB
    os.umask(0o077)  # only the owner may read the stored data and its copies
    parser = argparse.ArgumentParser(
        prog="python -m tandem_gateway",
        usage="%(prog)s [-h] [--version] [--FLAG VALUE ...] [COMMAND]",
        description="Serve the HTTP API, and store the documents and their indexes. With a COMMAND, run it instead.",
        epilog="A flag overrides the variable named beside it. After SIGTERM the gateway answers accepted requests and "
        "stops. " + _STATUSES,
    )
    parser.add_argument("--version", action="version", version=f"tandem-gateway {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    known = [*add_flags(parser, Settings), "--to", "--discard"]
    for name, text in {
        "verify": "check the store, and compare both indexes with it; the gateway must be stopped",
        "rebuild": "rebuild both indexes from the store; the gateway must be stopped",
        "backup": "copy the store of a gateway, running or stopped, to a new file, and check the copy",
        "move": "move the store of the data directory to an empty database of PostgreSQL (TANDEM_STORE_URL), or back "
        "to an empty directory, and compare both; all gateways must be stopped",
        "compact": "rewrite the databases without the remains of deleted documents; the gateway must be stopped",
        "snapshot": "save the index of a running gateway; the gateway calls this itself",
    }.items():
        command = commands.add_parser(
            name,
            prog=f"{parser.prog} {name}",
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=_STATUSES,
        )
        command.add_argument(
            "--data-dir", dest="command_data_dir", metavar="VALUE", help="the data directory (TANDEM_DATA_DIR)"
        )
        if name == "backup":
            command.add_argument(
                "--to", type=Path, required=True, metavar="FILE", help="path of the copy; must not exist"
            )
        if name == "move":
            command.add_argument(
                "--to", dest="move_to", choices=("postgres", "directory"), required=True, help="where the store goes"
            )
            command.add_argument(
                "--discard", action="store_true", help="give up a move that has not ended, and remove what it left"
            )
    known += key_commands.add_commands(commands, parser.prog, _STATUSES)
    flags = parse_flags(parser, known)
    if getattr(flags, "command_data_dir", None) is not None:
        flags.data_dir = flags.command_data_dir
    try:
        settings = with_store_url(read(Settings, os.environ, flags))
    except SettingsError as error:
        _say_error(error)
        return 2
    if flags.command == "keys":
        return _keys(flags, settings)
    if flags.command == "move":
        return _move(flags, settings)
    if flags.command is not None:
        return _maintain(flags.command, settings, getattr(flags, "to", None))
    return _serve(settings)


def _serve(settings: Settings) -> int:
    logs.configure("gateway", settings.log_level)
    log = logging.getLogger("tandem_gateway")
    for line in warnings_of(os.environ):
        log.warning(line)
    log.info("starting", extra={"version": __version__, "settings": describe(settings)})
    from tandem_gateway.server import serve  # noqa: PLC0415 - the other commands do without the HTTP stack

    try:
        status = serve(settings)
    except SettingsError as error:
        log.error("cannot start", extra={"error": str(error)})
        return 2
    except StorageError as error:
        log.critical("the gateway cannot start", extra={"error": for_log(error)})
        return 1
    log.info("stopped", extra={"status": status})
    return status


def _keys(flags: argparse.Namespace, settings: Settings) -> int:
    try:
        return key_commands.run(flags, lambda: open_keys(settings), audit_sink(settings))
    except SettingsError as error:
        _say_error(error)
        return 2
    except (GatewayError, OSError) as error:
        _say_error(error)
        return 1


def _move(flags: argparse.Namespace, settings: Settings) -> int:
    try:
        move(settings, flags.move_to, _say, discard=flags.discard)
    except SettingsError as error:
        _say_error(error)
        return 2
    except (GatewayError, OSError) as error:
        _say_error(error)
        return 1
    return 0


def _maintain(command: str, settings: Settings, target: Path | None) -> int:
    from tandem_gateway import maintenance  # noqa: PLC0415 - a bad setting is reported without loading usearch
    from tandem_gateway.index.builder import Sizes  # noqa: PLC0415 - the same

    data_dir, sizes = settings.data_dir, Sizes(graph=settings.exact_below)
    parent = os.getppid()
    shared = partial(open_feed, settings) if settings.store_url else None
    try:
        if command == "verify":
            return 0 if maintenance.verify(data_dir, _say, shared) else 1
        if command == "rebuild":
            maintenance.rebuild(data_dir, sizes, _say, shared)
            return 0
        if command in ("backup", "compact") and shared is not None:
            raise StorageUnavailable(
                f"{command}: the documents are in PostgreSQL (TANDEM_STORE_URL): use its own tools, pg_dump and VACUUM"
            )
        if command == "backup" and target is not None:
            maintenance.backup(data_dir, target, _say)
            return 0
        if command == "compact":
            maintenance.compact(data_dir, _say)
            return 0
        # An orphaned helper must not replace a snapshot that the next gateway uses.
        saved = maintenance.snapshot(data_dir, sizes, lambda: os.getppid() == parent, lambda line: None, shared)
        sys.stdout.buffer.write(msgspec.json.encode(saved))
        return 0
    except (StorageError, OSError) as error:
        _say_error(error)
        return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say_error(error: Exception) -> None:
    sys.stderr.write(f"tandem_gateway: {for_log(error)}\n")


if __name__ == "__main__":
    sys.exit(main())
