"""What each format gives, without a process around it."""

import contextlib
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.extraction.pieces import Unreadable
from tandem_gateway.extraction.process import Task, documents
from tests.gateway.files.samples import docx, docx_with, page, pdf

CYRILLIC = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20


def read(name: str, content: bytes, *, max_chars: int = 100_000, max_documents: int = 100) -> list[dict[str, Any]]:
    return [json.loads(line) for line in documents(Task(name, {}, max_chars, max_documents), content)]


def text_of(name: str, content: bytes) -> str:
    (document,) = read(name, content)
    return str(document["text"])


def refused(name: str, content: bytes, **limits: int) -> str:
    with pytest.raises(Unreadable) as raised:
        read(name, content, **limits)
    return str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1251"])
def test_a_text_is_read_in_its_encoding(encoding: str) -> None:
    assert text_of("a.txt", CYRILLIC.encode(encoding)) == CYRILLIC


@pytest.mark.parametrize("content", [b"", b" \n ", b"\xef\xbb\xbf", page("t", "<script>x</script>"), docx("", " ")])
def test_a_file_without_text_is_refused(content: bytes) -> None:
    name = "a.html" if content.startswith(b"<") else "a.docx" if content.startswith(b"PK") else "a.txt"
    assert refused(name, content) == "has no text"


def test_utf_16_that_ends_within_a_character_is_refused() -> None:
    assert "is not in the encoding" in refused("a.txt", b"\xff\xfea")


def test_headings_of_a_page_and_of_a_word_file_are_those_of_markdown() -> None:
    body = (
        "<h1>One <b>two</b></h1><p>text</p><h2>\n Sub </h2><pre># no heading</pre><h3></h3><h3><p>block</p></h3>after"
    )
    (found,) = read("a.html", page("t", body))
    assert found["text"] == "# One two\ntext\n## Sub\n```\n# no heading\n```\nblock\nafter"
    assert found["format"] == "markdown"
    (found,) = read("a.docx", docx("One", "text", "Sub", "more", "", headings=(0, 2, 4)))
    assert (found["text"], found["format"]) == ("# One\ntext\n## Sub\nmore\n", "markdown")
    for name, content in (("a.html", page("t", "<p># no heading</p>")), ("a.docx", docx("# no heading"))):
        assert read(name, content)[0].get("format", "text") == "text", name


def test_markdown_keeps_its_text_and_has_the_heading_that_it_begins_with_as_title() -> None:
    (document,) = read("a.md", b"\n# The *title* ##\n\ntext\n")
    assert document == {
        "id": "a.md", "text": "\n# The *title* ##\n\ntext\n", "format": "markdown",
        "metadata": {"title": "The *title*", "file": "a.md"},
    }  # fmt: skip
    assert read("a.md", b"text\n# later\n")[0]["metadata"] == {"file": "a.md"}


@pytest.mark.parametrize(
    ("text", "title"), [("# C#\ntext", "C#"), ("# C# #\ntext", "C#"), ("# ##\ntext", None), ("# A ##  \r\ntext", "A")]
)
def test_the_title_of_markdown_keeps_a_sign_that_is_a_part_of_a_word(text: str, title: str | None) -> None:
    (document,) = read("a.md", text.encode())
    assert document["metadata"].get("title") == title


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>a <b>bold</b>\n  word</p><p>next</p>", "a bold word\nnext"),
        ("<div><p>a</p>tail</div>b", "a\ntail\nb"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
        ("a<br>b<script>no()</script><style>no</style><!-- no -->&amp;&#233;", "a\nb&é"),
        ("un<b>broken</b>", "unbroken"),
    ],
)
def test_the_visible_text_of_a_page_has_a_line_for_each_block(body: str, text: str) -> None:
    assert text_of("a.html", page("t", body)) == text
    assert text_of("A.HTM", page("t", body)) == text


def test_a_short_text_in_an_unknown_encoding_is_refused() -> None:
    assert "send UTF-8" in refused("a.txt", "café au lait".encode("latin-1"))
    assert "send UTF-8" in refused("a.csv", "text\ncafé".encode("latin-1"))


def test_a_page_names_its_title_and_its_encoding() -> None:
    content = '<meta charset="windows-1251"><title> Заголовок\n два</title><p>Чай</p>'.encode("cp1251")
    (document,) = read("a.html", content)
    assert (document["text"], document["metadata"]["title"]) == ("Чай", "Заголовок два")
    assert "unknown encoding" in refused("a.html", b'<meta charset="zip">\xff')


@given(st.text(alphabet="<>/abpdiv! \n&;-\"'=", max_size=300))
def test_no_page_is_an_unexpected_error(body: str) -> None:
    with contextlib.suppress(Unreadable):
        read("a.html", body.encode())


def test_a_pdf_is_a_document_for_each_page_with_text() -> None:
    found = read("a.pdf", pdf("one", "", "three", title="A title"))
    assert [(each["id"], each["text"], each["metadata"]) for each in found] == [
        ("a.pdf#1", "one", {"page": 1, "title": "A title", "file": "a.pdf"}),
        ("a.pdf#3", "three", {"page": 3, "title": "A title", "file": "a.pdf"}),
    ]


def test_a_pdf_without_text_and_what_is_no_pdf_are_refused() -> None:
    assert "no text on its 2 pages" in refused("a.pdf", pdf("", ""))
    assert "cannot be read as PDF" in refused("a.pdf", b"%PDF-1.4 no")


@given(st.data())
def test_no_damage_of_a_pdf_or_docx_is_an_unexpected_error(data: st.DataObject) -> None:
    name, content = data.draw(st.sampled_from([("a.pdf", pdf("one", "two")), ("a.docx", WORD)]))
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(1, len(damaged))) :]
    with contextlib.suppress(Unreadable, RecursionError):
        read(name, bytes(damaged))


WORD = docx("one", "two", title="A title")


def test_word_gives_paragraphs_of_text_and_tables_in_order() -> None:
    (document,) = read("a.docx", WORD)
    assert (document["text"], document["metadata"]) == ("one\ntwo", {"title": "A title", "file": "a.docx"})


def test_entities_of_word_are_not_expanded() -> None:
    names = "abcdefghij"
    entities = "".join(f'<!ENTITY {name} "{10 * f"&{below};"}">' for below, name in itertools.pairwise(names))
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{space}"><w:body>%s</w:body></w:document>'
    bomb = f'<!DOCTYPE x [<!ENTITY a "x">{entities}]>' + body % "<w:p><w:r><w:t>&j;</w:t></w:r></w:p>"
    assert refused("a.docx", docx_with("word/document.xml", bomb.encode()))
    local = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + body % "<w:p><w:r><w:t>&a;</w:t></w:r></w:p>"
    assert refused("a.docx", docx_with("word/document.xml", local.encode())) == "has no text"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_row_of_a_table_is_a_document(delimiter: str) -> None:
    rows = ["id,text,year", 'x,"a, b; c\nd",1999', "", ",e,"]
    content = "\r\n".join(rows).replace(",", delimiter) if delimiter != "," else "\r\n".join(rows)
    content = content.replace(f"a{delimiter} b", "a, b")
    assert read("a.csv", content.encode()) == [
        {"id": "x", "text": "a, b; c\nd", "metadata": {"year": "1999", "file": "a.csv"}, "format": "text"},
        {"id": "a.csv#2", "text": "e", "metadata": {"file": "a.csv"}, "format": "text"},
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a column 'text' is missing; the first row has to name the columns, and it names: none"),
        (b"id,body\n1,x", "it names: id, body"),
        (b"text,a,a\nx,1,2", "'a' is there more than once"),
        (b"text,a\nx", "row 1 has 1 columns, and the first row names 2"),
        (b'text\nx\n"y', "row 2 cannot be read as CSV"),
        (b"text\n", "has no row after the names of the columns"),
        (b"text,file\nx,y", "has a column 'file'"),
        (b"text,a\nx,1\n,2", "row 2 has no text"),
    ],
)
def test_a_table_that_cannot_be_read_names_the_row_and_the_column(content: bytes, reason: str) -> None:
    assert reason in refused("a.csv", content)


def test_a_line_of_json_is_a_document_as_in_an_ingest() -> None:
    lines = [
        b'{"text": "one", "id": 7, "metadata": {"n": 1.00000000000000000001}, "b":\r[1, 2]}',
        b"",
        b'{"text": "two", "format": "markdown", "metadata": "m"}',
    ]
    content = b"\n".join(lines)
    assert documents(Task("a.jsonl", {"x": msgspec.Raw(b"1e400")}, 1000, 10), content) == [
        b'{"id":"7","text":"one","metadata":{"x":1e400,"n":1.00000000000000000001,"b":[1,2],"file":"a.jsonl"},"format":"text"}\n',
        b'{"id":"a.jsonl#2","text":"two","metadata":{"x":1e400,"metadata":"m","file":"a.jsonl"},"format":"markdown"}\n',
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"body": 1}', "row 1: the field 'text' is missing; its fields are: body"),
        (b'{"text": 1}', "row 1: text: expected `str`, got `int`"),
        (b'{"text": "x", "id": 1.5}', "row 1: id: expected `int | str | null`, got `float`"),
        (b'{"text": "x", "format": "rtf"}', "row 1: format: text or markdown was expected, not 'rtf'"),
        (b'{"text": "x", "a": 1, "metadata": {"a": 2}}', "row 1: 'a' is a field of the row and of its metadata"),
        (b'{"text": "x"}\n[1]', "row 2 is not a JSON object as expected"),
        (b"[" * 10_000, "row 1 is not a JSON object as expected"),
        (b"\n", "has no row"),
    ],
)
def test_lines_that_cannot_be_read_name_the_row_and_the_field(line: bytes, reason: str) -> None:
    assert reason in refused("a.jsonl", line)


def test_a_file_of_more_characters_or_documents_than_allowed_names_the_setting() -> None:
    assert "TANDEM_MAX_FILE_CHARS" in refused("a.txt", b"x" * 101, max_chars=100)
    assert "TANDEM_MAX_DOCUMENTS_PER_REQUEST" in refused("a.csv", b"text\na\nb\nc\n", max_documents=2)
