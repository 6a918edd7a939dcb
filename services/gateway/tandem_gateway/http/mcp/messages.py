"""The arguments and results of the tools. A result is sent twice: as structured content and, as JSON, as text."""

from typing import Annotated, Final

import msgspec

from tandem_contract.client_api import AnsweredBy, SearchWarning
from tandem_contract.client_api.common import DEFAULT_COLLECTION
from tandem_contract.client_api.search import SearchMode

DEFAULT_TOKENS: Final = 4_000
MIN_TOKENS: Final = 500
"""What an answer has around its texts needs less."""
MAX_TOKENS: Final = 100_000
DEFAULT_HITS: Final = 10
MAX_FETCHED: Final = 50
"""Maximum number of documents in one call."""

_NULL: Final = msgspec.Raw(b"null")


class SearchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``search``."""

    query: str
    collection: str = DEFAULT_COLLECTION
    top_k: int = DEFAULT_HITS
    mode: SearchMode = "auto"
    filter: msgspec.Raw = _NULL
    """Still JSON, so that numbers keep all digits."""
    max_tokens: int = DEFAULT_TOKENS


class FetchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``fetch``; it takes either ``id`` or ``ids``."""

    id: str | None = None
    ids: list[str] | None = None
    collection: str = DEFAULT_COLLECTION
    start: int | None = None
    end: int | None = None
    max_tokens: int = DEFAULT_TOKENS


class ListArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of ``list_collections``."""

    max_tokens: int = DEFAULT_TOKENS


class Passage(msgspec.Struct, frozen=True):
    """A passage of a document that a search found; its text is ``document[start:end]``, in code points."""

    id: Annotated[str, msgspec.Meta(description="Id of the document; pass it to fetch.")]
    title: str
    url: Annotated[
        str, msgspec.Meta(description="URL of the source, else a tandem: URI that names collection and document.")
    ]
    text: str
    index: Annotated[int, msgspec.Meta(description="Number of the passage in its document, from 0.")]
    start: Annotated[int, msgspec.Meta(description="Offset of the text's first character in the document.")]
    end: Annotated[int, msgspec.Meta(description="Offset after the text's last character in the document.")]
    score: float
    source: str | msgspec.UnsetType = msgspec.UNSET
    truncated: Annotated[
        bool | msgspec.UnsetType,
        msgspec.Meta(description="True if the passage goes on after end; fetch with start returns more."),
    ] = msgspec.UNSET


class SearchResult(msgspec.Struct, frozen=True):
    """Result of ``search``."""

    results: Annotated[list[Passage], msgspec.Meta(description="Passages, the best first.")]
    collection: str
    mode: AnsweredBy
    tokens: Annotated[int, msgspec.Meta(description="Estimated tokens of this answer, at most max_tokens.")]
    left_out: Annotated[int, msgspec.Meta(description="Number of results that max_tokens had no room for.")] = 0
    degraded: Annotated[bool, msgspec.Meta(description="True if vector search or keyword search could not answer.")] = (
        False
    )
    query_truncated: Annotated[bool, msgspec.Meta(description="True if the query is longer than the model reads.")] = (
        False
    )
    warnings: list[SearchWarning] = []


class FetchedDocument(msgspec.Struct, frozen=True):
    """A document, or a part of it: ``text`` is ``document[start:end]``, in code points."""

    id: str
    title: str
    url: str
    text: str
    start: int
    end: int
    length: Annotated[int, msgspec.Meta(description="Characters of the whole document.")]
    source: str | msgspec.UnsetType = msgspec.UNSET
    next_start: Annotated[
        int | msgspec.UnsetType,
        msgspec.Meta(description="There if max_tokens cut the text: fetch with this start goes on."),
    ] = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    metadata_left_out: Annotated[
        bool | msgspec.UnsetType, msgspec.Meta(description="True if the metadata takes over a quarter of max_tokens.")
    ] = msgspec.UNSET


class OneResult(FetchedDocument, frozen=True, kw_only=True):
    """Result of ``fetch`` with ``id``."""

    tokens: Annotated[int, msgspec.Meta(description="Estimated tokens of this answer, at most max_tokens.")]


class ManyResult(msgspec.Struct, frozen=True):
    """Result of ``fetch`` with ``ids``."""

    documents: list[FetchedDocument]
    missing: Annotated[list[str], msgspec.Meta(description="Ids that no document has.")]
    tokens: Annotated[int, msgspec.Meta(description="Estimated tokens of this answer, at most max_tokens.")]
    left_out: Annotated[list[str], msgspec.Meta(description="Ids of documents that max_tokens had no room for.")]


class CollectionEntry(msgspec.Struct, frozen=True):
    """A collection."""

    name: str
    documents: Annotated[int, msgspec.Meta(description="Documents that search can find.")]
    pending: Annotated[int, msgspec.Meta(description="Documents that wait to be embedded.")]


class CollectionsResult(msgspec.Struct, frozen=True):
    """Result of ``list_collections``."""

    collections: list[CollectionEntry]
    tokens: Annotated[int, msgspec.Meta(description="Estimated tokens of this answer, at most max_tokens.")]
    left_out: Annotated[int, msgspec.Meta(description="Number of collections that max_tokens had no room for.")] = 0
