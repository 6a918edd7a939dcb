"""Text and Markdown: the file is one document."""

import re
from collections.abc import Iterator
from typing import Final

from tandem_gateway.analysis.headings import without_closing
from tandem_gateway.extraction.decoding import decoded
from tandem_gateway.extraction.pieces import Piece

# The first line that is not blank, if it is a heading of the first level.
_HEADING: Final = re.compile(r"\s{0,1000}^ {0,3}# {1,9}(.{1,500})$", re.MULTILINE)


def text(content: bytes) -> Iterator[Piece]:
    """Return the document of a text."""
    yield Piece(decoded(content))


def markdown(content: bytes) -> Iterator[Piece]:
    """Return the document of a Markdown file; its title is the heading that it begins with."""
    found = decoded(content)
    heading = _HEADING.match(found)
    title = without_closing(heading[1]) if heading else ""
    yield Piece(found, metadata={"title": title} if title else {}, format="markdown")
