"""Small files of each format, made by other programs than those that read them where there is one."""

import io
import zipfile
from collections.abc import Sequence

import docx as python_docx


def page(title: str, body: str) -> bytes:
    """Return an HTML page."""
    return f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>".encode()


def docx(*paragraphs: str, title: str = "", headings: Sequence[int] = ()) -> bytes:
    """Return a Word file; ``headings`` are the places of the paragraphs that are headings, the first of level 1."""
    document = python_docx.Document()
    for place, paragraph in enumerate(paragraphs):
        if place in headings:
            document.add_heading(paragraph, headings.index(place) + 1)
        else:
            document.add_paragraph(paragraph)
    document.core_properties.title = title
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def docx_with(part: str, content: bytes) -> bytes:
    """Return a Word file of which one part has another content."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx("text"))) as good,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as changed,
    ):
        for name in good.namelist():
            changed.writestr(name, content if name == part else good.read(name))
    return written.getvalue()


def pdf(*pages: str, title: str = "", content: bytes | None = None, filters: str = "") -> bytes:
    """Return a PDF, written by hand (ISO 32000-1); ``content`` replaces the content of each page.

    Args:
        pages: text of each page.
        title: of the document.
        content: of each page's content stream.
        filters: entries of the stream's dictionary, such as ``/Filter /FlateDecode``.
    """
    count = len(pages)
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for place, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode() if content is None else content
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents {5 + 2 * place} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} {filters} >>\nstream\n".encode() + stream + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode())
    written = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content_of_object in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content_of_object)
    table = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1, len(objects), table,
    )  # fmt: skip
    return bytes(written)
