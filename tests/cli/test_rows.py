"""Rows of JSON lines, JSON and CSV as documents."""

import io
from pathlib import Path

import pytest

from tandem_cli.failures import UsageError
from tandem_cli.ingesting import rows as module
from tandem_cli.ingesting.folder import walk
from tandem_cli.ingesting.rows import Format, rows


def read(content: str | bytes, kind: Format, name: str | None = "books") -> list[dict[str, object]]:
    return list(rows(io.BytesIO(content.encode() if isinstance(content, str) else content), kind, name))


def test_json_lines_may_have_a_mark_blank_lines_and_texts_alone() -> None:
    assert read('\ufeff{"text": "a", "id": 7}\r\n\n"b"\n', "jsonl") == [
        {"text": "a", "id": 7},
        {"text": "b", "id": "books#2"},
    ]


def test_fields_that_a_document_does_not_have_go_into_its_metadata() -> None:
    row = (
        '{"text": "a", "id": "x", "year": 1999, "metadata": {"page": 1, "year": 1}, "format": "markdown", "hash": null}'
    )
    assert read(row, "jsonl") == [{"text": "a", "id": "x", "format": "markdown", "metadata": {"page": 1, "year": 1999}}]


def test_without_a_name_the_gateway_makes_the_ids() -> None:
    assert read('{"text": "a"}', "jsonl", None) == [{"text": "a"}]


@pytest.mark.parametrize("content", ['[{"text": "a"}]', '{"documents": [{"text": "a"}]}', '{"text": "a"}', '"a"'])
def test_json_is_a_list_a_request_or_one_document(content: str) -> None:
    assert read(content, "json") == [{"text": "a", "id": "books#1"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_has_a_line_of_headings_and_any_of_three_delimiters(delimiter: str) -> None:
    lines = [["text", "id", "year"], ['"The cat\nsat."', "mat", "1999"], ["The dog ran.", "", ""], ["", "", ""]]
    assert read("\r\n".join(delimiter.join(cells) for cells in lines), "csv") == [
        {"text": "The cat\nsat.", "id": "mat", "metadata": {"year": "1999"}},
        {"text": "The dog ran.", "id": "books#2"},
    ]


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        ('{"text": "a"}\n{"text": ', "jsonl", "books: line 2: JSON was expected"),
        ("7", "jsonl", "books: line 1: an object with a field text"),
        ('{"text": "a", "metadata": []}', "jsonl", "line 1: metadata: an object was expected"),
        ("[" * 100_000, "json", "books: JSON was expected"),
        ("[1]", "json", "books: document 0: an object with a field text"),
        ("id,year\na,1\n", "csv", "a column text was expected in the first line; it has id, year"),
        ("", "csv", "a column text was expected in the first line; it has none"),
        ("text,id\na,b,c\n", "csv", "line 2 has more cells"),
        ("text,id\na\n", "csv", "line 2 has fewer cells"),
        ("text,id,id\na,b,c\n", "csv", "'id' is there more than once"),
        ("text,\na,b\n", "csv", "each column needs a different name"),
        ('text\n"never closed\n', "csv", "unexpected end of data"),
        (b"text\n\xff\n", "csv", "UTF-8 was expected"),
        (b'"\xff"', "jsonl", "line 1: JSON was expected"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(content: str | bytes, kind: Format, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(content, kind)


def test_a_row_that_is_no_document_may_be_left_out() -> None:
    said: list[str] = []
    found = list(rows(io.BytesIO(b'{"text": "a"}\n{"text": \n7\n{"text": "b"}'), "jsonl", "books", said.append))
    assert [row["id"] for row in found] == ["books#1", "books#4"]
    assert [message.partition(": ")[2][:6] for message in said] == ["line 2", "line 3"]


def test_a_cell_of_csv_may_be_as_long_as_a_document() -> None:
    assert read(f"text\n{'a' * 1_000_000}\n", "csv")[0]["text"] == "a" * 1_000_000


def test_a_column_text_decides_about_the_delimiter_and_names_are_stripped() -> None:
    assert read('"text", "a;b;c"\nx,1\n', "csv")[0]["text"] == "x"


def test_a_line_and_json_without_lines_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 20)
    monkeypatch.setattr(module, "MAX_JSON_BYTES", 20)
    with pytest.raises(UsageError, match="line 2 has more than 20 bytes"):
        read('{"text": "a"}\n{"text": "aaaaaaaaaaaaa"}', "jsonl")
    with pytest.raises(UsageError, match="more than 20 bytes of JSON"):
        read('{"text": "aaaaaaaaaaaaa"}', "json")


def test_rows_are_read_one_by_one() -> None:
    first = next(iter(rows(io.BytesIO(b'{"text": "a"}\nwrong'), "jsonl", None)))
    assert first == {"text": "a"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.md", "a.TXT", "sub/c.pdf", "sub/d.csv", ".hidden.md", ".git/e.md", "image.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "link.md").symlink_to(tmp_path / "b.md")
    return tmp_path


def test_a_folder_is_read_with_its_folders_in_the_order_of_names(folder: Path) -> None:
    found = walk(folder)
    assert list(found.files) == ["a.TXT", "b.md", "link.md", "sub/c.pdf", "sub/d.csv"]
    assert found.left_out == 1


def test_a_link_to_nothing_is_a_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "gone.md").symlink_to(folder / "nothing")
    assert "gone.md" in walk(folder).files


def test_patterns_choose_files(folder: Path) -> None:
    assert list(walk(folder, include=["*.md", "sub/*"], exclude=["link*", "*.csv"]).files) == ["b.md", "sub/c.pdf"]
