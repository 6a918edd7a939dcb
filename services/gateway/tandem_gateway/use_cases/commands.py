"""Commands: the requests that the use cases take.

A command knows no encoding. The HTTP layer makes it from a message of the client API; another way
in, such as an upload or a compatible API, makes the same command from its own messages. The use cases validate it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tandem_gateway.filters.tree import Filter
from tandem_gateway.records.chunking import TextFormat
from tandem_gateway.records.metadata import Metadata
from tandem_gateway.records.search import SearchMode
from tandem_gateway.use_cases.fusion import DEFAULT_FUSION, Fusion


class SearchCommand(msgspec.Struct, frozen=True, gc=False):
    """A search in one collection for at most ``top_k`` documents after the first ``offset``."""

    query: str
    top_k: int
    collection: str
    mode: SearchMode
    fusion: Fusion = DEFAULT_FUSION
    """How hybrid search fuses its two rankings."""
    offset: int = 0
    """Number of hits to skip."""
    min_score: float | None = None
    """Lowest cosine similarity of a hit."""
    filter: Filter | None = None
    """The conditions that the hits match; None for all documents."""

    meaning: str | None = None
    """The text for the model; None for ``query``."""
    constrained: bool = False
    """Whether the query's phrases or exclusions leave out documents. They hold for keyword search in any case."""

    @property
    def text_for_model(self) -> str:
        """The text whose vector answers the search."""
        return self.query if self.meaning is None else self.meaning

    @property
    def depth(self) -> int:
        """Number of hits up to the end of the page."""
        return self.offset + self.top_k

    @property
    def is_plain(self) -> bool:
        """Whether the answer is the first hits of a ranking as they are."""
        return not self.offset and self.min_score is None and self.filter is None


class SubmittedDocument(msgspec.Struct, frozen=True):
    """A document as a client submits it; ``validation.new_document`` checks it."""

    text: str
    doc_id: str | None
    """None asks for a random id."""
    metadata: Metadata
    exact_metadata: Mapping[str, Any] | None = None
    """The metadata with numbers as JSON (``msgspec.Raw``), which keeps all digits; None to encode ``metadata``."""
    format: TextFormat = "text"
