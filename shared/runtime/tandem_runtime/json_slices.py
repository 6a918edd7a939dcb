"""Splits a large JSON body at one of its arrays, so that no single decoding step takes long.

msgspec decodes a whole message in one call, which holds the interpreter's lock: 16 MiB of small values take seconds and
block the event loop. ``find_array`` locates the elements of one array without decoding them. The caller can then decode
each element by itself, and can refuse an array with too many elements before decoding any.

The scan works on whole blocks with numpy, which releases the interpreter's lock. It marks the characters between
unescaped quotes, then follows the depth of brackets outside of strings. The first stage of simdjson does the same
(Langdale and Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 2019). The scan does not validate: the
decoder validates the elements, and the body without them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Body = bytes | bytearray

_BLOCK_BYTES: Final = 1 << 18
_QUOTE, _BACKSLASH, _COMMA, _OPEN_ARRAY, _CLOSE_ARRAY = b'"\\,[]'
# Change of the depth by each byte outside of strings. A comma is part of the structure but changes nothing.
_DEPTH: Final[NDArray[np.int8]] = np.zeros(256, np.int8)
_DEPTH[[_OPEN_ARRAY, ord("{")]] = 1
_DEPTH[[_CLOSE_ARRAY, ord("}")]] = -1
_IS_STRUCTURE: Final[NDArray[np.bool_]] = _DEPTH != 0
_IS_STRUCTURE[_COMMA] = True
_WHITE_SPACE: Final = b" \t\n\r"
# Maximum between a field's name and its array. With more, the scan misses the array and the body is decoded as a whole.
_MAX_WHITE_SPACE: Final = 64


@dataclass(frozen=True, slots=True)
class ArraySlices:
    """The positions of an array's elements in a body.

    Attributes:
        begin: offset of the opening bracket.
        end: offset after the closing bracket, or the body's length if there is none.
        bounds: offsets of the opening bracket, of the commas between elements and of the closing bracket, ascending.
            Element ``i`` lies between ``bounds[i]`` and ``bounds[i + 1]``, both exclusive.
        too_many: the array has more elements than the caller's limit; ``bounds`` holds the first ones.
    """

    begin: int
    end: int
    bounds: list[int]
    too_many: bool = False

    def count(self, body: Body) -> int:
        """Return the number of elements; 0 for an array with only white space."""
        if len(self.bounds) == 2 and not body[self.bounds[0] + 1 : self.bounds[1]].strip(_WHITE_SPACE):
            return 0
        return len(self.bounds) - 1

    def element(self, body: Body, index: int) -> Body:
        """Return the bytes of an element, including the white space around it."""
        return body[self.bounds[index] + 1 : self.bounds[index + 1]]

    def rest(self, body: Body) -> Body:
        """Return the body with an empty array instead of this one."""
        return body[: self.begin] + b"[]" + body[self.end :]


def find_array(body: Body, field: str, most: int) -> ArraySlices | None:
    """Locate the elements of an array that is a field of the body's object.

    Args:
        body: JSON in UTF-8.
        field: name of the field; the scan does not find a name that is spelled with escapes.
        most: maximum number of elements; the search ends after them.

    Returns:
        None if the field is missing or not an array. If the field occurs more than once, its last array.
    """
    scan = _Scan(body, f'"{field}"'.encode(), most)
    return scan.run()


class _Scan:
    def __init__(self, body: Body, name: bytes, most: int) -> None:
        self._body = body
        self._name = name
        self._most = most
        self._depth = 0
        self._bounds: list[int] | None = None
        self._found: ArraySlices | None = None

    def run(self) -> ArraySlices | None:
        in_string, escaped = False, False
        for begin in range(0, len(self._body), _BLOCK_BYTES):
            block = np.frombuffer(self._body, np.uint8, min(_BLOCK_BYTES, len(self._body) - begin), begin)
            inside, in_string, escaped = _inside_strings(block, in_string, escaped)
            positions = np.flatnonzero(_IS_STRUCTURE[block] & ~inside)
            if self._take(block[positions], positions + begin):
                return self._found
        if self._bounds is not None:  # the array has no end: decoding the rest of the body fails
            self._end(len(self._body), len(self._body))
        return self._found

    def _take(self, characters: NDArray[np.uint8], positions: NDArray[np.int64]) -> bool:
        """Follow a block's structure, and return whether there are more elements than the limit."""
        if not len(characters):
            return False
        depths = np.cumsum(_DEPTH[characters], dtype=np.int64) + self._depth
        self._depth = int(depths[-1])
        # The body's object is at depth 1, the elements of its arrays are at depth 2.
        opening = (characters == _OPEN_ARRAY) & (depths == 2)
        wanted = opening | ((characters == _CLOSE_ARRAY) & (depths == 1))
        if self._bounds is not None or opening.any():
            wanted |= (characters == _COMMA) & (depths == 2)
        for index in np.flatnonzero(wanted).tolist():
            position, character = int(positions[index]), characters[index]
            if character == _OPEN_ARRAY:
                if self._is_the_field(position):
                    self._bounds = [position]
            elif self._bounds is None:
                continue
            elif character == _CLOSE_ARRAY:
                self._end(position, position + 1)
            else:
                self._bounds.append(position)
                if len(self._bounds) > self._most:
                    self._found = ArraySlices(self._bounds[0], position, self._bounds, too_many=True)
                    return True
        return False

    def _end(self, last: int, end: int) -> None:
        assert self._bounds is not None
        self._bounds.append(last)
        self._found = ArraySlices(self._bounds[0], end, self._bounds)
        self._bounds = None

    def _is_the_field(self, position: int) -> bool:
        before = self._body[max(0, position - len(self._name) - _MAX_WHITE_SPACE) : position].rstrip(_WHITE_SPACE)
        if not before.endswith(b":"):
            return False
        before = before[:-1].rstrip(_WHITE_SPACE)
        # Inside a longer name, the opening quote would be escaped.
        return before.endswith(self._name) and before[: -len(self._name)][-1:] != b"\\"


def _inside_strings(block: NDArray[np.uint8], in_string: bool, escaped: bool) -> tuple[NDArray[np.bool_], bool, bool]:
    """Return which characters lie inside strings, whether the block ends in a string, and whether it ends in an escape.

    Args:
        block: ``(n,) uint8``.
        in_string: whether the block begins inside a string.
        escaped: whether the character before the block escapes its first one.
    """
    quotes = block == _QUOTE
    escaped_places = _escaped(block, escaped)
    if escaped_places is not None:
        quotes &= ~escaped_places[:-1]
    ends_escaped = bool(escaped_places[-1]) if escaped_places is not None else False
    toggles = quotes.view(np.uint8)
    if in_string:
        toggles[0] ^= 1
    inside = np.bitwise_xor.accumulate(toggles).view(np.bool_)
    return inside, bool(inside[-1]), ends_escaped


def _escaped(block: NDArray[np.uint8], escaped: bool) -> NDArray[np.bool_] | None:
    """Return ``(n + 1,) bool``: which characters, and the one after the block, are escaped; None if none is."""
    places = np.flatnonzero(block == _BACKSLASH)
    if not len(places):
        if not escaped:
            return None
        result = np.zeros(len(block) + 1, np.bool_)
        result[0] = True
        return result
    # In a run of backslashes, the first, third and fifth escape the next character, unless the first is itself escaped.
    starts = np.empty(len(places), np.bool_)
    starts[0] = True
    np.not_equal(np.diff(places), 1, out=starts[1:])
    run_begin = np.maximum.accumulate(np.where(starts, places, 0))
    offsets = places - run_begin
    if escaped and places[0] == 0:
        offsets[run_begin == 0] += 1
    result = np.zeros(len(block) + 1, np.bool_)
    result[places[offsets % 2 == 0] + 1] = True
    if escaped:
        result[0] = True
    return result
