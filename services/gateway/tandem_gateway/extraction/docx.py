"""Word (docx): a line for each paragraph, headings as in Markdown; the only module that imports python-docx.

python-docx parses XML with lxml, without entities (``resolve_entities=False``) and with lxml's limit of 256 levels.
"""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

import docx as python_docx
from docx.oxml.ns import qn
from docx.text.paragraph import Paragraph

from tandem_gateway.extraction.pieces import Piece, Unreadable

_PARAGRAPH: Final = qn("w:p")
# Word writes a text box twice: for new programs, and here for old ones.
_FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# Names of styles as python-docx gives them, in every language of Word.
_HEADING: Final = re.compile(r"Heading ([1-6])\Z")


def docx(content: bytes) -> Iterator[Piece]:
    """Return the document of a Word file: paragraphs of text, tables and text boxes, in order; its own title if any.

    Raises:
        Unreadable: it is no docx.
    """
    try:
        document = python_docx.Document(BytesIO(content))
        paragraphs = [
            Paragraph(element, document)
            for element in document.element.body.iter(_PARAGRAPH)
            if next(element.iterancestors(_FALLBACK), None) is None
        ]
        levels = _levels(paragraphs)
        lines = [
            f"{'#' * level} {each.text}" if level else each.text for each, level in zip(paragraphs, levels, strict=True)
        ]
        title = (document.core_properties.title or "").strip()
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # a damaged file reaches every kind of error in the parsers of zip and XML
        raise Unreadable(f"cannot be read as docx: {type(error).__name__}: {error}") from None
    yield Piece(
        "\n".join(lines), metadata={"title": title} if title else {}, format="markdown" if any(levels) else "text"
    )


def _levels(paragraphs: Sequence[Paragraph]) -> list[int]:
    """Return the level of each heading, from 1; 0 for any other paragraph and for one without text."""
    of_style: dict[str | None, int] = {}  # python-docx looks for a style among all of them
    levels = []
    for each in paragraphs:
        style_id = each._p.style
        if style_id not in of_style:
            heading = _HEADING.match((each.style.name if each.style is not None else None) or "")
            of_style[style_id] = int(heading[1]) if heading is not None else 0
        level = of_style[style_id]
        levels.append(level if level and each.text.strip() else 0)
    return levels
