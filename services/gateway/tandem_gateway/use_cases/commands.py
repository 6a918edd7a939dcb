"""Commands: the requests that the use cases take.

A command knows no encoding. The HTTP layer makes it from a message of the client API; another way
in, such as an upload or a compatible API, makes the same command from its own messages. The use cases validate it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tandem_gateway.filters.tree import Filter
from tandem_gateway.records.chunking import TextFormat
from tandem_gateway.records.metadata import Metadata
from tandem_gateway.records.search import USUAL_FIELDS, Consistency, HitField, SearchMode
from tandem_gateway.use_cases.fusion import DEFAULT_FUSION, Fusion

NO_FIELDS: Final[frozenset[HitField]] = frozenset()


class RerankChoice(msgspec.Struct, frozen=True, gc=False):
    """How many of a search's best documents are reranked, and by which model; None for the one that serves."""

    top_n: int
    model: str | None = None


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

    highlight: bool = False
    """Whether the hits tell where the words of the query are."""
    include: frozenset[HitField] = NO_FIELDS
    """Parts of a hit that the caller wants besides ``USUAL_FIELDS``."""
    exclude: frozenset[HitField] = NO_FIELDS
    """Parts of a hit that the caller does not want."""
    explain: bool = False
    """Whether the answer tells how it came about."""
    diversity: float = 0.0
    """How much the hits differ from each other, from 0 to 1; see ``diversity``."""
    group_by: str | None = None
    """Metadata field; the hits are the best of each of its values. None for all hits."""
    rerank: RerankChoice | None = None
    """None to leave the ranking as it is."""
    consistency: Consistency = "strong"
    """How new the state of the store must be that answers."""
    meaning: str | None = None
    """The text for the model; None for ``query``."""
    constrained: bool = False
    """Whether the query's phrases or exclusions leave out documents. They hold for keyword search in any case."""

    @property
    def fields(self) -> frozenset[HitField]:
        """The parts of a hit that the caller wants."""
        return (USUAL_FIELDS | self.include) - self.exclude if self.include or self.exclude else USUAL_FIELDS

    @property
    def reads_texts(self) -> bool:
        """Whether the answer needs the texts of the documents found.

        A vector of keyword search needs them, because the passage is chosen by its words.
        """
        fields = self.fields
        return not fields.isdisjoint({"text", "passage"}) or ("vector" in fields and self.mode != "dense")

    @property
    def reads_metadata(self) -> bool:
        """Whether the answer shows the metadata of the documents found; filters and groups read it by themselves."""
        return "metadata" in self.fields

    @property
    def text_for_model(self) -> str:
        """The text whose vector answers the search."""
        return self.query if self.meaning is None else self.meaning

    @property
    def depth(self) -> int:
        """Number of hits up to the end of the page."""
        return self.offset + self.top_k

    @property
    def considered(self) -> int:
        """Number of documents of the ranking on which the page depends: up to its end, and those to rerank."""
        return self.depth if self.rerank is None else max(self.depth, self.rerank.top_n)

    @property
    def needs_whole_ranking(self) -> bool:
        """Whether passages beyond ``depth`` may be hits, because others are left out or follow later."""
        reordered = self.diversity or self.group_by is not None or self.rerank is not None
        return bool(reordered) or self.min_score is not None

    @property
    def is_plain(self) -> bool:
        """Whether the answer is the first hits of a ranking as they are."""
        shown = self.include or self.exclude or self.explain
        reordered = self.diversity or self.group_by is not None or self.rerank is not None
        return not (self.offset or shown or reordered) and self.min_score is None and self.filter is None


class SimilarCommand(msgspec.Struct, frozen=True):
    """A search for the documents nearest to a document or to a vector; either of the two is given."""

    document_id: str | None
    vector: Sequence[float] | None
    """Numbers of any length; the use case makes it a vector of unit length."""
    page: SearchCommand
    """Which hits, and what of them; its query is empty, and its mode ``dense``."""
    condition: Filter | None = None
    """What the document itself has to match; otherwise it counts as one that waits for its embedding."""


class SubmittedDocument(msgspec.Struct, frozen=True):
    """A document as a client submits it; ``validation.new_document`` checks it."""

    text: str
    doc_id: str | None
    """None asks for a random id."""
    metadata: Metadata
    exact_metadata: Mapping[str, Any] | None = None
    """The metadata with numbers as JSON (``msgspec.Raw``), which keeps all digits; None to encode ``metadata``."""
    format: TextFormat = "text"
    source: str | None = None
    """Name of the source that the document belongs to."""
    source_hash: str | None = None
    """The client's hash of the document in its source."""
