"""Word (docx): a line for each paragraph; the only module that imports python-docx.

python-docx parses XML with lxml, without entities (``resolve_entities=False``) and with lxml's limit of 256 levels.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Final

import docx as python_docx
from docx.oxml.ns import qn
from docx.text.paragraph import Paragraph

from tandem_gateway.extraction.pieces import Piece, Unreadable

_PARAGRAPH: Final = qn("w:p")
# Word writes a text box twice: for new programs, and here for old ones.
_FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def docx(content: bytes) -> Iterator[Piece]:
    """Return the document of a Word file: paragraphs of text, tables and text boxes, in order; its own title if any.

    Raises:
        Unreadable: it is no docx.
    """
    try:
        document = python_docx.Document(BytesIO(content))
        lines = [
            Paragraph(element, document).text
            for element in document.element.body.iter(_PARAGRAPH)
            if next(element.iterancestors(_FALLBACK), None) is None
        ]
        title = (document.core_properties.title or "").strip()
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # a damaged file reaches every kind of error in the parsers of zip and XML
        raise Unreadable(f"cannot be read as docx: {type(error).__name__}: {error}") from None
    yield Piece("\n".join(lines), metadata={"title": title} if title else {})
