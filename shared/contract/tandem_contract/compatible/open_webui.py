"""Messages of Open WebUI: its external web search and its external document loader."""

from typing import Final

import msgspec

from tandem_contract.client_api.common import Metadata

DEFAULT_COUNT: Final = 5


class WebSearchRequest(msgspec.Struct, frozen=True):
    """``POST /v1/collections/{collection}/web-search``; unknown fields are ignored."""

    query: str
    count: int = DEFAULT_COUNT


class WebSearchResult(msgspec.Struct, frozen=True):
    """A document that answers the query; the reply is a list of these, by descending score."""

    link: str
    title: str
    snippet: str


class LoadedDocument(msgspec.Struct, frozen=True):
    """A text of a file, in the reply to ``PUT /process``: the document of a file, or a list of its pages or rows."""

    page_content: str
    metadata: Metadata
