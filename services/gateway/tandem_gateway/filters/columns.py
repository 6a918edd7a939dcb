"""The metadata of many passages as columns, which answer a filter without reading each passage's metadata.

A column is a field. It has an entry for each passage that has the field: the passage's row, and a code that stands for
the value. Equal values share a code. A condition is decided once for each value and then looked up for each entry, so a
filter costs a few nanoseconds a passage. A field that few passages have takes little memory.

``matching`` agrees with ``matching.matches`` on the metadata of each passage.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tandem_gateway.filters.matching import decode_metadata, value_at
from tandem_gateway.filters.tree import (
    Both,
    Contains,
    Either,
    Equals,
    Exists,
    Filter,
    Key,
    Leaf,
    Not,
    Number,
    Ordered,
    key_of,
)

Mask = npt.NDArray[np.bool_]

# Code of values that equal no scalar: lists and objects.
_NO_SCALAR: Final = -1
_NO_ROWS: Final["array[int]"] = array("I")
# Estimated sizes: an entry of a column, and a value with its objects and its place in a dictionary.
_ENTRY_BYTES: Final = 8
_VALUE_BYTES: Final = 300


class Columns:
    """The passages of one collection; one thread at a time may use them."""

    def __init__(self) -> None:
        self._ids = array("Q")
        self._alive = bytearray()
        self._dead = 0
        self._columns: dict[str, _Column] = {}
        self.bytes = 0
        """Estimated size."""

    def __len__(self) -> int:
        return len(self._ids) - self._dead

    @property
    def is_worn(self) -> bool:
        """Whether most rows are of removed passages, so that they should be built again."""
        return self._dead > 1000 and 2 * self._dead > len(self._ids)

    def add(self, passage_id: int, metadata: str) -> None:
        """Add a passage whose id is greater than those of all passages before.

        Args:
            passage_id: of the passage.
            metadata: JSON text.
        """
        row = len(self._ids)
        self._ids.append(passage_id)
        self._alive.append(1)
        self.bytes += _ENTRY_BYTES + 1
        content = decode_metadata(metadata)
        for field in set(_fields(content)):
            column = self._columns.get(field)
            if column is None:
                column = self._columns[field] = _Column()
                self.bytes += _VALUE_BYTES
            self.bytes += column.add(row, value_at(content, field))

    def remove(self, passage_ids: Iterable[int]) -> None:
        """Remove passages; those that are not here are skipped."""
        for passage_id in passage_ids:
            row = bisect_left(self._ids, passage_id)
            if row < len(self._ids) and self._ids[row] == passage_id and self._alive[row]:
                self._alive[row] = 0
                self._dead += 1

    def matching(self, condition: Filter) -> npt.NDArray[np.uint64]:
        """Return the ids of the passages that match, ascending, ``(n,) uint64``."""
        # Copies: an array cannot grow while numpy has a view of its memory.
        mask = np.frombuffer(bytes(self._alive), np.bool_) & self._mask(condition)
        return np.array(self._ids, np.uint64)[mask]

    def _mask(self, condition: Filter) -> Mask:
        """Return which rows match, removed ones included."""
        match condition:
            case Both(parts):
                mask = np.ones(len(self._ids), np.bool_)
                for part in parts:
                    mask &= self._mask(part)
            case Either(parts):
                mask = np.zeros(len(self._ids), np.bool_)
                for part in parts:
                    mask |= self._mask(part)
            case Not(part):
                mask = ~self._mask(part)
            case _:
                mask = np.zeros(len(self._ids), np.bool_)
                column = self._columns.get(condition.field)
                if column is not None:
                    mask[column.rows_of(condition)] = True
        return mask


class _Column:
    """The values of one field."""

    def __init__(self) -> None:
        self._rows = array("I")
        self._codes = array("i")
        self._code_of: dict[Key, int] = {}
        self._elements: dict[Key, array[int]] = {}
        """Element of a list → rows of the lists that have it."""
        self._strings = _Sorted()
        self._numbers = _Sorted()

    def add(self, row: int, value: Any) -> int:
        """Add an entry, and return how many bytes it takes."""
        self._rows.append(row)
        taken = _ENTRY_BYTES
        key = key_of(value)
        code = _NO_SCALAR
        if key is not None:
            known = self._code_of.get(key)
            code = self._new_code(key) if known is None else known
            taken += _VALUE_BYTES + len(str(value)) if known is None else 0
        elif isinstance(value, list):
            for element in {key_of(each) for each in value}:
                assert element is not None, "a list has scalars only"
                if element not in self._elements:
                    self._elements[element] = array("I")
                    taken += _VALUE_BYTES + len(str(element[1]))
                self._elements[element].append(row)
                taken += _ENTRY_BYTES
        self._codes.append(code)
        return taken

    def _new_code(self, key: Key) -> int:
        """Give a value its code."""
        code = self._code_of[key] = len(self._code_of)
        kind, value = key
        if isinstance(value, str):
            self._strings.add(value, code)
        elif kind == "number":
            assert isinstance(value, Number)
            self._numbers.add(value, code)
        return code

    def rows_of(self, leaf: Leaf) -> npt.NDArray[np.uint32]:
        """Return the rows whose value fits, ``(n,) uint32``, in no particular order."""
        match leaf:
            case Exists():
                return np.array(self._rows, np.uint32)
            case Contains(key=key):
                return np.array(self._elements.get(key, _NO_ROWS), np.uint32)
            case Equals(keys=keys):
                return self._with_codes([self._code_of[key] for key in keys if key in self._code_of])
            case Ordered(order=order, bound=bound):
                values = self._strings if isinstance(bound, str) else self._numbers
                return self._with_codes(values.codes_of(order, bound))

    def _with_codes(self, codes: list[int]) -> npt.NDArray[np.uint32]:
        if not codes:
            return np.empty(0, np.uint32)
        held = np.array(self._codes, np.intp)
        rows = np.array(self._rows, np.uint32)
        if len(codes) == 1:
            only: npt.NDArray[np.uint32] = rows[held == codes[0]]
            return only
        # One place more than there are codes: the last stands for _NO_SCALAR.
        wanted = np.zeros(len(self._code_of) + 1, np.bool_)
        wanted[codes] = True
        found: npt.NDArray[np.uint32] = rows[wanted[held]]
        return found


class _Sorted:
    """Values of one type with their codes, sorted when they are needed."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, int]] = []
        self._values: list[Any] = []
        self._order: list[int] = []

    def add(self, value: str | Number, code: int) -> None:
        self._pairs.append((value, code))

    def codes_of(self, order: str, bound: str | int | Decimal) -> list[int]:
        """Return the codes of the values that come before or after a bound."""
        if len(self._values) != len(self._pairs):
            self._pairs.sort(key=lambda pair: pair[0])
            self._values = [value for value, _ in self._pairs]
            self._order = [code for _, code in self._pairs]
        match order:
            case "$gt":
                return self._order[bisect_right(self._values, bound) :]
            case "$gte":
                return self._order[bisect_left(self._values, bound) :]
            case "$lt":
                return self._order[: bisect_left(self._values, bound)]
        return self._order[: bisect_right(self._values, bound)]


def _fields(content: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Return every name under which a filter may find a value: keys, and keys of nested objects after a dot."""
    for key, value in content.items():
        yield before + key
        if isinstance(value, dict):
            yield from _fields(value, f"{before}{key}.")
