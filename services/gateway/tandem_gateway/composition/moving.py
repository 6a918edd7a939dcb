"""Moves a store between a data directory and PostgreSQL: the command ``move``. Only ``stores`` imports it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.moving.transfer import Moved, transfer
from tandem_gateway.adapters.postgres.history import FILE_NAME as HISTORY_NAME
from tandem_gateway.adapters.postgres.history import SNAPSHOT_FILE_NAME
from tandem_gateway.adapters.postgres.moving import sessions
from tandem_gateway.adapters.postgres.moving import unfinished as unfinished_in_postgres
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.lexical import maintenance as lexical_cache
from tandem_gateway.adapters.sqlite.moving import unfinished
from tandem_gateway.adapters.sqlite.moving.source import open_source
from tandem_gateway.adapters.sqlite.moving.target import SqliteTarget
from tandem_gateway.settings import Settings

Print = Callable[[str], None]

# Seconds that the command waits for a snapshot helper of a gateway that has stopped.
_SNAPSHOT_LOCK_SECONDS = 60.0


def move(settings: Settings, to: str, report: Print) -> None:
    """Move the store of a data directory to an empty database, or that of a database to an empty directory; blocks.

    Args:
        settings: name both.
        to: ``postgres`` or ``directory``.
        report: called with a line for each step.

    Raises:
        StorageError: a side is in use, damaged or cannot be reached; or the target is not empty.
    """
    if to == "postgres":
        _to_postgres(settings, report)
    else:
        _to_directory(settings, report)


def discard(settings: Settings, to: str, report: Print) -> None:
    """Remove what an unfinished move has left in its target.

    Raises:
        StorageError: the target is in use, or cannot be reached.
    """
    if to == "postgres":
        done = unfinished_in_postgres.discard(settings.store_url)
    else:
        with _locked(settings.data_dir):
            done = unfinished.discard(settings.data_dir)
    report("the unfinished move was given up: the target is empty" if done else "no move is unfinished")


def _to_postgres(settings: Settings, report: Print) -> None:
    with _locked(settings.data_dir), open_source(settings.data_dir) as (source, origin, notices):
        for line in notices:
            report(f"store: {line}")
        report("store: sound")
        with sessions.open_target(settings.store_url, origin) as target:
            moved = transfer(source, target, report)
            store_id = target.store_id
    report(_summary(moved, origin, store_id, settings.data_dir, "the database"))


def _to_directory(settings: Settings, report: Print) -> None:
    data_dir = settings.data_dir
    with _locked(data_dir):
        folder = unfinished.begin(data_dir)
        with (
            sessions.open_source(settings.store_url) as (source, origin),
            closing(SqliteTarget(folder)) as target,
        ):
            moved = transfer(source, target, report)
            target.save()
            _forget_caches(data_dir)
            unfinished.publish(data_dir)
    report(_summary(moved, origin, target.store_id, "the database", data_dir))


def _summary(moved: Moved, origin: str, store_id: str, source: Path | str, target: Path | str) -> str:
    counts = ", ".join(f"{moved.rows[name]} {name}" for name in ("collections", "documents", "vectors", "jobs", "keys"))
    return f"moved: {counts} from {source} (store {origin}, unchanged) to {target} (store {store_id})"


def _forget_caches(data_dir: Path) -> None:
    """Remove the caches of another store that a gateway kept in the directory."""
    Snapshots(data_dir).remove_all()
    lexical_cache.forget(data_dir)
    for name in (HISTORY_NAME, SNAPSHOT_FILE_NAME):
        (data_dir / name).unlink(missing_ok=True)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold both locks of a data directory.

    Raises:
        StorageInUse: a gateway or another command uses it.
    """
    with _released(DataLock(data_dir, OWNER)), _released(DataLock(data_dir, SNAPSHOT, wait=_SNAPSHOT_LOCK_SECONDS)):
        yield


@contextmanager
def _released(lock: DataLock) -> Iterator[None]:
    """Release a lock at the end."""
    try:
        yield
    finally:
        lock.release()
