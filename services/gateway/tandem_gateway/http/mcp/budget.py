"""Keeps the answer to a language model within a number of tokens, without a tokenizer.

Each model has a tokenizer of its own, and the gateway has none. It counts bytes of UTF-8 instead, on the safe side:

- five letters or spaces of ASCII are two tokens (English has about four characters a token);
- a digit or another sign of ASCII is a token;
- five bytes of other characters are three tokens: a letter of Cyrillic is 1.2 and one of Chinese 1.8.

The unit is a tenth of a token, so that the costs of the parts of an answer add up to the cost of the answer.
"""

import string
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

UNITS: Final = 10
"""Units of a token."""
LETTER: Final = 4
"""Units of a letter or space of ASCII."""
OTHER: Final = 6
"""Units of a byte of a character beyond ASCII."""
SIGN: Final = 10
"""Units of any other byte, the most that a byte has."""

_LETTERS: Final = (string.ascii_letters + " ").encode()
_ASCII: Final = bytes(range(128))
_WORD_END: Final = 100
"""A text is cut at a space, if one of its last so many characters is one."""


def cost(content: bytes) -> int:
    """Return the units of some UTF-8."""
    beyond = len(content.translate(None, _ASCII))
    signs = len(content.translate(None, _LETTERS)) - beyond
    return LETTER * (len(content) - signs - beyond) + SIGN * signs + OTHER * beyond


def tokens(units: int) -> int:
    """Return the tokens of some units, rounded up."""
    return -(-units // UNITS)


def longest(text: str, start: int, stop: int, units: int, cost_of: Callable[[str], int]) -> int:
    """Return the greatest ``end`` from ``start`` to ``stop`` for which ``text[start:end]`` costs at most ``units``.

    If that cuts the text, and there is a space shortly before, the text ends after the space.

    Args:
        text: the text.
        start: offset of the first character.
        stop: offset after the last character that may be taken.
        units: the budget; below 0 is 0.
        cost_of: units of a part of the text. It must not fall when the part gets longer, and a character must have at
            least ``LETTER`` units.
    """
    high = min(stop, start + max(units, 0) // LETTER)
    if cost_of(text[start:high]) <= units:
        end = high
    else:
        low = start
        while high - low > 1:
            middle = (low + high) // 2
            if cost_of(text[start:middle]) <= units:
                low = middle
            else:
                high = middle
        end = low
    if end < stop:
        space = text.rfind(" ", max(start, end - _WORD_END), end)
        if space > start:
            return space + 1
    return end


def fitting(costs: Sequence[int], units: int) -> int:
    """Return how many of the first parts fit together into ``units``."""
    for number, part in enumerate(costs):
        units -= part
        if units < 0:
            return number
    return len(costs)


class Part(NamedTuple):
    """A text of an answer: ``text[start:stop]``, and the units of what is said about it."""

    text: str
    start: int
    stop: int
    around: int


def divided(parts: Sequence[Part], units: int, least: int, cost_of: Callable[[str], int]) -> list[int]:
    """Return where the text of each of the first parts ends, so that these parts fit together into ``units``.

    If not all of them fit, each text but the last gets at most half of what is left, so that one long text leaves room
    for others. A text is not cut to less than ``least`` units: it and those after it are left out instead.

    Args:
        parts: the texts, the most important first.
        units: the budget.
        least: the fewest units of a text that is cut.
        cost_of: see ``longest``.
    """
    costs = [part.around + cost_of(part.text[part.start : part.stop]) for part in parts]
    if fitting(costs, units) == len(parts):
        return [part.stop for part in parts]
    ends: list[int] = []
    for place, part in enumerate(parts):
        room = units - part.around
        share = room if place == len(parts) - 1 else room // 2
        end = part.stop
        if costs[place] - part.around > share:
            if share < least:
                break
            end = longest(part.text, part.start, part.stop, share, cost_of)
        if end == part.start < part.stop or room < 0:
            break
        ends.append(end)
        units = room - cost_of(part.text[part.start : end])
    return ends
