"""How much of a text its vector stands for."""

import msgspec


class Coverage(msgspec.Struct, frozen=True, gc=False):
    """How much of a text its vector stands for."""

    truncated: bool = False
    """Whether the model saw only the text's beginning."""
    unknown: float = 0.0
    """Share of the tokens that the model's vocabulary lacks, from 0 to 1."""

    @property
    def unreadable(self) -> bool:
        """Whether the vector says little of the text: most of its tokens are unknown."""
        return self.unknown > _UNREADABLE_SHARE


_UNREADABLE_SHARE = 0.5


WHOLE = Coverage()
"""The model read all of the text."""
