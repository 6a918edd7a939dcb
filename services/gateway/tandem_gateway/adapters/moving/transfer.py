"""Copies every table of a store into an empty one, and compares what arrived with what was read."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from tandem_gateway.adapters.moving.digests import Digest, Row
from tandem_gateway.adapters.moving.tables import TABLES, Table
from tandem_gateway.errors import StorageCorrupt

Print = Callable[[str], None]

_TELL_SECONDS: Final = 5.0


class Source(Protocol):
    """A store that nobody changes meanwhile."""

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table, with the numbers that documents get in the target."""
        ...


class Target(Protocol):
    """An empty store that nobody else uses, and that no gateway serves yet."""

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """Store the rows of a table."""
        ...

    def complete(self) -> None:
        """Make what is derived from the rows, after all tables, and check what the store itself can check.

        Raises:
            StorageCorrupt: the rows do not fit together.
        """
        ...

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table as they are stored."""
        ...


@dataclass(frozen=True, slots=True)
class Moved:
    """How much has moved."""

    rows: dict[str, int]
    """Table → number of rows."""


def transfer(source: Source, target: Target, report: Print, clock: Callable[[], float] = time.monotonic) -> Moved:
    """Copy all tables, read them again from the target, and compare; blocks. The caller makes the target a store.

    Rows are read and written one after the other: memory has a few of them at a time.

    Args:
        source: what moves.
        target: where to.
        report: called with a line for each table, and every five seconds.
        clock: seconds.

    Raises:
        StorageCorrupt: a table of the target has not the rows of the source.
        StorageError: a side cannot be read or written.
    """
    sent: dict[str, Digest] = {}
    for table in TABLES:
        sent[table.name] = Digest()
        target.load(table, _told(sent[table.name].counted(source.rows(table)), f"copy {table.name}", report, clock))
    target.complete()
    for table in TABLES:
        arrived = Digest()
        for _ in _told(arrived.counted(target.rows(table)), f"compare {table.name}", report, clock):
            pass
        wanted = sent[table.name]
        if arrived != wanted:
            raise StorageCorrupt(
                f"{table.name}: {wanted.rows} rows with the checksum {wanted.text} were read, and {arrived.rows} with "
                f"{arrived.text} arrived: the move is not valid, and the source is unchanged"
            )
        report(f"{table.name}: {arrived.rows} rows, checksum {arrived.text} on both sides")
    return Moved({name: digest.rows for name, digest in sent.items()})


def _told(rows: Iterable[Row], what: str, report: Print, clock: Callable[[], float]) -> Iterator[Row]:
    """Yield rows; tell every few seconds how many there were."""
    told = clock()
    for count, row in enumerate(rows):
        if count % 256 == 0 and clock() - told >= _TELL_SECONDS:
            told = clock()
            report(f"{what}: {count} rows so far")
        yield row
