"""The checksum of a table, which does not depend on the order of its rows."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec

Row = tuple[Any, ...]

_BYTES: Final = 16
_encode: Final = msgspec.msgpack.Encoder().encode


class Digest:
    """Counts rows, and adds up a hash of 128 bits of each."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Row) -> None:
        """Add a row. Its values are those of MessagePack, which encodes types and lengths."""
        self.rows += 1
        self._sum += int.from_bytes(blake2b(_encode(row), digest_size=_BYTES).digest(), "big")

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, and add each before it is yielded."""
        for row in rows:
            self.add(row)
            yield row

    @property
    def text(self) -> str:
        """The checksum in hexadecimal digits."""
        return f"{self._sum % (1 << 8 * _BYTES):0{2 * _BYTES}x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and (self.rows, self.text) == (other.rows, other.text)

    def __hash__(self) -> int:
        return hash((self.rows, self.text))
