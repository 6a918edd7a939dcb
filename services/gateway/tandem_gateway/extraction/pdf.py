"""PDF: a document for each page that has text; the only module that imports pypdf."""

from collections.abc import Iterator
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import DependencyError

from tandem_gateway.extraction.pieces import Piece, Unreadable


def pdf(content: bytes) -> Iterator[Piece]:
    """Return the documents of a PDF's pages; blank pages have none, and the others keep their numbers.

    Raises:
        Unreadable: it is no PDF, is encrypted with a password, or no page has text.
    """
    found = False
    done = 0
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is encrypted with a password")
        title = _title(reader)
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text()
            if text and not text.isspace():
                found = True
                yield Piece(text, number, metadata={"page": number, **title})
            done = number
    except DependencyError:
        raise Unreadable("is encrypted in a way that the gateway cannot read") from None
    except (Unreadable, MemoryError, RecursionError):
        raise
    except Exception as error:  # a damaged file reaches every kind of error in the parser
        where = f" after page {done}" if done else ""
        raise Unreadable(f"cannot be read as PDF{where}: {type(error).__name__}: {error}") from None
    if not found:
        raise Unreadable(f"has no text on its {done} pages; scanned pages need text recognition (OCR) first")


def _title(reader: PdfReader) -> dict[str, str]:
    information = reader.metadata
    title = information.title if information is not None else None
    return {"title": title.strip()} if isinstance(title, str) and title.strip() else {}
