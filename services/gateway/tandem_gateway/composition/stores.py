"""Chooses where the documents and the API keys are: in the data directory, or in PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Protocol

from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.adapters.sqlite.moving.unfinished import refuse_unfinished
from tandem_gateway.composition import storage
from tandem_gateway.engine_maintenance import Engines
from tandem_gateway.lifecycle import OpenStore
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.keys import KeyStore
from tandem_gateway.ports.text_log import TextFeed
from tandem_gateway.settings import Settings
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.settings import SettingsError


class Feed(IndexFeed, TextFeed, Protocol):
    """What the commands read of a store."""


def open_store(settings: Settings, metrics: Metrics, memory: MemoryBudget) -> OpenStore:
    """Open the store and load its indexes; blocks.

    Raises:
        StorageError: the data directory is in use, or the store cannot be used.
    """
    if settings.store_url:
        from tandem_gateway.composition import postgres  # noqa: PLC0415 - psycopg takes 15 MiB

        return postgres.open_store(settings, metrics, memory)
    return storage.open_store(settings, metrics, memory)


def open_keys(settings: Settings) -> KeyStore:
    """Return the API keys; blocks.

    Raises:
        SettingsError: a setting needs a package that is not installed.
        StorageError: the database cannot be used, or a move into the store has not ended.
    """
    if not settings.store_url:
        refuse_unfinished(settings.data_dir)
        return SqliteKeyStore(settings.data_dir)
    _require("TANDEM_STORE_URL", "psycopg", "postgres")
    if settings.snapshot_url.startswith("s3:"):
        _require("TANDEM_SNAPSHOT_URL", "obstore", "postgres,s3")
    if settings.milvus_url:
        _require("TANDEM_MILVUS_URL", "pymilvus", "postgres,milvus")
    from tandem_gateway.composition import postgres  # noqa: PLC0415 - psycopg takes 15 MiB

    return postgres.open_keys(settings)


@dataclass(frozen=True, slots=True)
class SharedStore:
    """What the commands need of a store that is not in the data directory."""

    open_feed: Callable[[], Feed]
    open_engines: Callable[[], Engines] | None = None
    """Opens the vector engines; None if no collection can be in one."""


def open_shared(settings: Settings) -> SharedStore | None:
    """Return the store in PostgreSQL; None if the documents are in the data directory."""
    if not settings.store_url:
        return None
    from tandem_gateway.composition import postgres  # noqa: PLC0415 - psycopg takes 15 MiB

    return SharedStore(
        partial(postgres.open_snapshot_feed, settings), partial(postgres.open_engine_maintenance, settings)
    )


def move(settings: Settings, to: str, report: Callable[[str], None], *, discard: bool) -> None:
    """Move the store between the data directory and the database, or discard what an unfinished move has left; blocks.

    Args:
        settings: name both.
        to: ``postgres`` or ``directory``.
        report: called with a line for each step.
        discard: give an unfinished move up.

    Raises:
        SettingsError: no database is named, or the package for it is missing.
        StorageError: a side is in use, damaged or cannot be reached; or the target is not empty.
    """
    if not settings.store_url:
        raise SettingsError("TANDEM_STORE_URL: move needs the database beside the data directory")
    _require("TANDEM_STORE_URL", "psycopg", "postgres")
    from tandem_gateway.composition import moving  # noqa: PLC0415 - psycopg takes 15 MiB

    if discard:
        moving.discard(settings, to, report)
    else:
        moving.move(settings, to, report)


def _require(variable: str, package: str, extras: str) -> None:
    """Check that the package is installed that a setting needs.

    Raises:
        SettingsError: it is not; the message names the extras that have it.
    """
    if find_spec(package) is None:
        raise SettingsError(
            f"{variable}: the package {package} is not installed; install tandem-services[gateway,{extras}]"
        )
