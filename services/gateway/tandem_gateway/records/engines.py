"""Vector engines: which ones there are, and what one holds of a space."""

from dataclasses import dataclass
from typing import Final

OWN_ENGINE: Final = "usearch"
"""The engine in the gateway's memory, which needs no server."""
ENGINES: Final = (OWN_ENGINE, "pgvector", "milvus")
"""Names of the engines that a collection may have."""


@dataclass(frozen=True, slots=True)
class EngineSpace:
    """A space whose vectors are in an engine."""

    store_id: str
    space_id: int
    dim: int

    @property
    def name(self) -> str:
        """Name of the space, unique among all stores: letters, digits and underscores."""
        return f"{self.store_id}_{self.space_id}"


@dataclass(frozen=True, slots=True)
class EngineState:
    """One generation of a space's vectors in an engine.

    A generation is built, published, and later replaced by the next one. A gateway searches the generation that it
    knows, together with the changes after those that are visible.
    """

    generation: str
    """Random; letters and digits."""
    written: int
    """Number of the last change that was written to the generation."""
    visible: int
    """Number of a change, at most ``written``; a search shows the effect of all changes up to it."""
    count: int
    """Number of its vectors."""
