"""How much of a text its vector represents."""

from collections.abc import Iterable

import msgspec


class Coverage(msgspec.Struct, frozen=True, gc=False):
    """How much of a text its vector represents."""

    truncated: bool = False
    """Whether the model read only the beginning of the text."""
    unknown: float = 0.0
    """Share of the text's tokens that are not in the model's vocabulary, from 0 to 1."""

    @property
    def unreadable(self) -> bool:
        """Whether most of the text's tokens are unknown, so that its vector says little about it."""
        return self.unknown > UNREADABLE_SHARE


UNREADABLE_SHARE = 0.5
"""Share of unknown tokens above which a vector says little about its text."""


WHOLE = Coverage()
"""The model read the whole text and knew every token."""


def most(coverages: Iterable[Coverage]) -> Coverage:
    """Return the coverage of a text with these passages: any truncated, and the largest share of unknown tokens."""
    found = list(coverages)
    return Coverage(any(each.truncated for each in found), max(each.unknown for each in found))
