"""The published snapshots in PostgreSQL, and the lease of the gateway that builds them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tandem_gateway.adapters.postgres import leadership
from tandem_gateway.adapters.postgres.connection import Connection, translated
from tandem_gateway.adapters.postgres.history import Commit, History
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.records.index import NewSnapshot, Publication, PublishedSnapshot

_WORK: Final = "snapshots"
"""Name of the builder's lease in the table ``leaders``."""
_NEWEST: Final = """
SELECT DISTINCT ON (n.space_id) n.space_id, n.snapshot_id, n.position, n.unproven, n.count,
       extract(epoch FROM clock_timestamp() - n.published_at)::double precision
  FROM snapshots n ORDER BY n.space_id, n.snapshot_id DESC
"""
_PUBLISHED: Final = """
SELECT n.snapshot_id, n.manifest, n.sha256, n.location,
       CASE WHEN n.store_id <> s.store_id THEN 'it is of another store'
            WHEN n.commit > s.commits OR m.mark IS DISTINCT FROM n.mark THEN 'it is of another history than the store'
       END, s.store_id, s.commits, s.mark
  FROM store s JOIN snapshots n ON n.space_id = %s LEFT JOIN marks m ON m.commit = n.commit
  ORDER BY n.snapshot_id DESC
"""
_PUBLISH: Final = "SELECT publish_snapshot_v1(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_ADDED: Final = """
SELECT count(*) FROM (SELECT 1 FROM vectors v WHERE v.space_id = %s AND v.change > %s LIMIT %s) x
"""


class PostgresSnapshotRegistry:
    """Implements ``SnapshotRegistry``."""

    def __init__(
        self,
        url: str,
        *,
        prepared: bool = True,
        history: History | None = None,
        seen: Callable[[], Sequence[Commit | None]] = lambda: (),
    ) -> None:
        """Use the database at ``url``; the first call connects.

        Args:
            url: a connection string of libpq.
            prepared: see ``connect``.
            history: of the caches that take what ``published`` returns.
            seen: returns the last commits that the snapshots in the data directory may have.
        """
        self._kept = KeptConnection(url, prepared=prepared)
        self._history = history
        self._seen = seen
        self._lock = threading.Lock()
        self._closed = False

    def store_id(self) -> str:
        """Return the store's random id."""
        with self._using() as connection:
            row = connection.execute("SELECT store_id FROM store").fetchone()
            assert row is not None
            return str(row[0])

    def lead(self, owner: str, seconds: float) -> int | None:
        """Make a gateway the builder; see ``SnapshotRegistry.lead``."""
        with self._using() as connection:
            return leadership.lead(connection, _WORK, owner, seconds)

    def resign(self, owner: str) -> None:
        """Let another gateway build; see ``SnapshotRegistry.resign``."""
        with self._using() as connection:
            leadership.resign(connection, _WORK, owner)

    def newest(self) -> dict[int, Publication]:
        """Return the newest snapshot of each space; see ``SnapshotRegistry.newest``."""
        with self._using() as connection:
            return {row[0]: Publication(*row[1:]) for row in connection.execute(_NEWEST)}

    def published(self, space_id: int) -> list[PublishedSnapshot]:
        """Return the snapshots of a space; see ``SnapshotRegistry.published``."""
        with self._using() as connection:
            rows = connection.execute(_PUBLISHED, (space_id,)).fetchall()
        if rows and self._history is not None:  # before the caches get what is in them
            self._history.note(Commit(*rows[0][5:]))
        return [
            PublishedSnapshot(number, manifest.encode(), sha256, location, refusal)
            for number, manifest, sha256, location, refusal, *_ in rows
        ]

    def publish(self, snapshot: NewSnapshot, owner: str, term: int) -> str | None:
        """Publish a snapshot; see ``SnapshotRegistry.publish``."""
        seen = [commit for commit in self._seen() if commit is not None]
        manifest = snapshot.manifest
        with self._using() as connection:
            row = connection.execute(
                _PUBLISH,
                (
                    owner,
                    term,
                    manifest.space_id,
                    manifest.position,
                    manifest.unproven,
                    manifest.description,
                    snapshot.encoded.decode(),
                    snapshot.sha256,
                    sum(file.bytes for file in manifest.files),
                    manifest.count,
                    snapshot.location,
                    [commit.number for commit in seen],
                    [commit.mark for commit in seen],
                ),
            ).fetchone()
            assert row is not None
            return row[0]  # type: ignore[no-any-return]

    def tidy(self, owner: str, term: int, kept_seconds: float, most: int) -> list[str] | None:
        """Drop old snapshots; see ``SnapshotRegistry.tidy``."""
        with self._using() as connection:
            row = connection.execute(
                "SELECT tidy_snapshots_v1(%s, %s, %s, %s)", (owner, term, kept_seconds, most)
            ).fetchone()
            assert row is not None
            return row[0]  # type: ignore[no-any-return]

    def added(self, space_id: int, after: int, most: int) -> int:
        """Count the vectors that were added after a change; see ``SnapshotRegistry.added``."""
        with self._using() as connection:
            row = connection.execute(_ADDED, (space_id, after, most)).fetchone()
            assert row is not None
            return int(row[0])

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._closed = True
            self._kept.close()

    @contextmanager
    def _using(self) -> Iterator[Connection]:
        with self._lock, translated():
            if self._closed:
                raise StorageUnavailable("the store is closed")
            yield self._kept.usable()
