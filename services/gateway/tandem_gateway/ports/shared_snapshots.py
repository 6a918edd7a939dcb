"""Ports for the snapshots that gateways share: who builds them, which are published, and where their files are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tandem_gateway.records.index import NewSnapshot, Publication, PublishedSnapshot


class SnapshotRegistry(Protocol):
    """The published snapshots of a store, and the gateway that builds them. Any thread may call it; its calls block.

    Each method may raise StorageUnavailable.
    """

    def store_id(self) -> str:
        """Return the store's random id."""
        ...

    def lead(self, owner: str, seconds: float) -> int | None:
        """Make a gateway the builder for some seconds, by the store's clock, or extend that.

        Returns:
            The term, which grows with each other builder; None if another gateway builds.
        """
        ...

    def resign(self, owner: str) -> None:
        """Let another gateway build at once; nothing happens if this one does not."""
        ...

    def newest(self) -> dict[int, Publication]:
        """Return the newest snapshot of each space that has one."""
        ...

    def published(self, space_id: int) -> list[PublishedSnapshot]:
        """Return the snapshots of a space, the newest first."""
        ...

    def publish(self, snapshot: NewSnapshot, owner: str, term: int) -> str | None:
        """Publish a snapshot, if the owner still builds in this term.

        Returns:
            None, or why it was not published.
        """
        ...

    def tidy(self, owner: str, term: int, kept_seconds: float, most: int) -> list[str] | None:
        """Drop the snapshots that nobody should load any more, if the owner still builds in this term.

        Args:
            owner: the builder.
            term: its term.
            kept_seconds: a snapshot stays so long after a newer one of its space was published.
            most: maximum number of snapshots of a space that stay.

        Returns:
            The locations of those that stay; None if another gateway builds.
        """
        ...

    def added(self, space_id: int, after: int, most: int) -> int:
        """Count the vectors of a space that were added after a change, up to ``most``."""
        ...

    def close(self) -> None:
        """Let no call succeed any more."""
        ...


class SharedFiles(Protocol):
    """Files that all gateways of a store read. A name is a path with slashes; a file never changes.

    Each method may raise StorageUnavailable. Any thread may call it; its calls block.
    """

    def write(self, name: str, source: Path) -> None:
        """Store a file under a name that was never used. If this fails, a part of it may stay."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Return the content of a file in pieces of at most some MiB."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and its folders, including parts of files."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that do not exist are skipped."""
        ...

    def stop(self) -> None:
        """Make all reads and writes fail, also those that run."""
        ...
