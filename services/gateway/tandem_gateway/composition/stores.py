"""Chooses where the documents and the API keys are: in the data directory, or in PostgreSQL."""

from importlib.util import find_spec
from typing import Protocol

from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.index_feed import SqliteIndexFeed
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.composition import storage
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
        StorageError: the database cannot be used.
    """
    if not settings.store_url:
        return SqliteKeyStore(settings.data_dir)
    if find_spec("psycopg") is None:
        raise SettingsError(
            "TANDEM_STORE_URL: the package psycopg is not installed; install tandem-search[gateway,postgres]"
        )
    if settings.snapshot_url.startswith("s3:") and find_spec("obstore") is None:
        raise SettingsError(
            "TANDEM_SNAPSHOT_URL: the package obstore is not installed; install tandem-search[gateway,postgres,s3]"
        )
    from tandem_gateway.composition import postgres  # noqa: PLC0415 - psycopg takes 15 MiB

    return postgres.open_keys(settings)


def open_feed(settings: Settings) -> Feed:
    """Return a feed for a command that reads the store."""
    if not settings.store_url:
        return SqliteIndexFeed(settings.data_dir / FILE_NAME)
    from tandem_gateway.composition import postgres  # noqa: PLC0415 - psycopg takes 15 MiB

    return postgres.open_snapshot_feed(settings)
