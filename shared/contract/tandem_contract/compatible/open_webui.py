"""Messages of Open WebUI: its external web search and its external document loader."""

from typing import Final

import msgspec

from tandem_contract.client_api.common import Metadata

DEFAULT_COUNT: Final = 5


class WebSearchRequest(msgspec.Struct, frozen=True):
    """``POST /v1/collections/{collection}/web-search``; unknown fields are ignored."""

    query: str
    """Text to search for."""
    count: int = DEFAULT_COUNT
    """Maximum number of results."""


class WebSearchResult(msgspec.Struct, frozen=True):
    """A document that answers the query; the reply is a list of these, by descending score."""

    link: str
    """URL in the metadata of the document, or the URL of the document at the gateway."""
    title: str
    """Title in the metadata of the document, or the name of its file, or its id."""
    snippet: str
    """The passage that matches best, at most 4,000 characters."""


class LoadedDocument(msgspec.Struct, frozen=True):
    """A text of a file, in the reply to ``PUT /process``: the document of a file, or a list of its pages or rows."""

    page_content: str
    """The text."""
    metadata: Metadata
    """Metadata of the text, such as the name of its file."""
