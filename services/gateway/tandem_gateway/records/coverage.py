"""How much of a text its vector represents."""

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
        return self.unknown > _UNREADABLE_SHARE


_UNREADABLE_SHARE = 0.5


WHOLE = Coverage()
"""The model read the whole text and knew every token."""
