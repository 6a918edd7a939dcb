"""`tandem ingest` and `--sync`, with a real gateway."""

import json
import os
from pathlib import Path

import pytest

from tandem_cli.ingesting import uploads
from tandem_cli.ingesting.sync import source_name
from tests.cli.conftest import Tandem
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.client.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "notes"
    (made / "sub").mkdir(parents=True)
    (made / "a.md").write_text("# Tea\n\nSteep the leaves.\n")
    (made / "sub" / "a.md").write_text("# Cups\n\nWarm the cup.\n")
    (made / "sub" / "rows.csv").write_text("text,id,year\nThe cat sat on the mat.,mat,1999\n")
    (made / "image.png").write_bytes(b"\x89PNG")
    return made


def ids(stack: Stack, collection: str) -> list[str]:
    found = stack.client.call("GET", f"/v1/collections/{collection}/documents", dict)
    return [document["id"] for document in found["documents"]]


def stored(stack: Stack, collection: str, document_id: str) -> dict[str, object]:
    found: dict[str, object] = stack.client.call(
        "GET", f"/v1/collections/{collection}/documents?id={document_id}", dict
    )
    return found


def test_a_folder_has_ids_by_path_and_unknown_formats_are_counted(
    stack: Stack, url: str, tandem: Tandem, folder: Path
) -> None:
    done = tandem("ingest", str(folder), "-c", "by-path", "--metadata", '{"team": "x"}', "--url", url)
    assert (done.status, done.err) == (0, "")
    assert done.out == "3 documents accepted, 1 file of no known format left out\n"
    assert ids(stack, "by-path") == ["a.md", "mat", "sub/a.md"]
    assert stored(stack, "by-path", "sub/a.md")["metadata"] == {"team": "x", "file": "sub/a.md", "title": "Cups"}
    assert stored(stack, "by-path", "mat")["metadata"] == {"team": "x", "year": "1999"}
    again = tandem("ingest", str(folder), "-c", "by-path", "--metadata", '{"team": "x"}', "--json", "--url", url)
    assert json.loads(again.out)["unchanged"] == 3


def test_standard_input_in_each_format(stack: Stack, url: str, tandem: Tandem) -> None:
    for kind, content in (
        ("jsonl", b'{"id": "1", "text": "a"}'),
        ("json", b'[{"id": "2", "text": "b"}]'),
        ("csv", b"id,text\n3,c"),
    ):
        assert tandem("ingest", "-", "--format", kind, "-c", "stdin", "--url", url, stdin=content).status == 0
    assert ids(stack, "stdin") == ["1", "2", "3"]


def test_rows_that_are_not_valid_are_named_and_the_others_stored(stack: Stack, url: str, tandem: Tandem) -> None:
    content = b'{"id": "good", "text": "a"}\n{"id": "empty", "text": " "}\n'
    done = tandem("ingest", "-", "-c", "partly", "--url", url, stdin=content)
    assert done.status == 1
    assert done.out == "1 document accepted, 1 skipped\n"
    assert "tandem: empty: text: a text that is not empty" in done.err
    assert done.err.endswith("tandem: not all documents are stored and embedded\n")
    assert ids(stack, "partly") == ["good"]
    refused = tandem("ingest", "-", "-c", "refused", "--on-error", "reject", "--url", url, stdin=content)
    assert refused.status == 2
    assert "documents[1].text" in refused.err


def test_a_file_that_cannot_be_read_fails_alone(stack: Stack, url: str, tandem: Tandem, folder: Path) -> None:
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 no more")
    done = tandem("ingest", str(folder / "bad.pdf"), str(folder / "a.md"), "-c", "bad", "--url", url)
    assert (done.status, done.out) == (1, "1 document accepted, 1 skipped\n")
    assert "tandem: bad.pdf: " in done.err
    alone = tandem("ingest", str(folder / "bad.pdf"), "-c", "bad", "--json", "--url", url)
    assert alone.status == 1
    assert json.loads(alone.out)["failures"][0]["name"] == "bad.pdf"


def test_files_that_cannot_be_read_leave_the_others_alone(stack: Stack, url: str, tandem: Tandem, folder: Path) -> None:
    (folder / "gone.md").symlink_to(folder / "nothing")
    (folder / "gone.csv").symlink_to(folder / "nothing")
    (folder / "no-text.csv").write_text("id\n1\n")
    (folder / "cut.jsonl").write_text('{"id": "whole", "text": "a"}\n{"id": "cut", "te')
    (folder / os.fsdecode(b"latin-\xe9.md")).write_text("# A name in Latin-1")
    done = tandem("ingest", str(folder), "-c", "some", "--json", "--url", url)
    assert done.status == 1
    assert ids(stack, "some") == ["a.md", "mat", "sub/a.md", "whole"]
    told = json.loads(done.out)
    assert {failure["name"] for failure in told["failures"]} == {
        "gone.md",
        "gone.csv",
        "no-text.csv",
        "cut.jsonl",
        "latin-\\udce9.md",
    }
    assert (told["accepted"], told["skipped"]) == (4, 5)


def test_a_file_has_a_limit_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 3)
    (tmp_path / "a.md").write_text("abcd")
    (tmp_path / "b.md").write_text("abc")
    said: dict[str, str] = {}
    sent = list(uploads.batches({name: tmp_path / name for name in ("a.md", "b.md")}, said.__setitem__))
    assert sent == [[("b.md", b"abc")]]
    assert list(said) == ["a.md"]


@pytest.mark.parametrize("name", [b"latin-\xe9.md", b"gone.md"])
def test_sync_changes_nothing_if_a_file_cannot_be_read(
    name: bytes, stack: Stack, url: str, tandem: Tandem, folder: Path
) -> None:
    (folder / os.fsdecode(name)).symlink_to(folder / "nothing")
    done = tandem("ingest", str(folder), "--sync", "-c", "unread", "--url", url)
    assert (done.status, done.out) == (1, "")
    assert "so nothing was changed" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.md"], "missing.md: no such file or folder"),
        (["notes/image.png"], "the end of its name is none of .jsonl"),
        (["notes/a.md", "notes/sub/a.md"], "two files have the name a.md"),
        (["notes", "--source", "x"], "go with --sync"),
        (["notes/a.md", "--sync"], "--sync: one folder was expected"),
        (["notes", "notes", "--sync"], "--sync: one folder was expected"),
        (["notes", "--metadata", "[]"], "--metadata: a JSON object was expected"),
        (["notes", "--metadata", '{"file": "x"}'], "metadata"),
        (["notes", "-c", "no spaces"], "collection"),
        (["notes", "--sync", "--include", "*.none"], "has no file to ingest; --allow-empty"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], said: str, url: str, tandem: Tandem, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    done = tandem("ingest", *arguments, "--url", url)
    assert done.status in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err


def test_sync_sends_what_changed_and_deletes_what_is_gone(stack: Stack, url: str, tandem: Tandem, folder: Path) -> None:
    def sync(*more: str) -> dict[str, object]:
        done = tandem("ingest", str(folder), "--sync", "-c", "sync", "--json", "--url", url, *more)
        assert (done.status, done.err) == (0, "")
        told: dict[str, object] = json.loads(done.out)
        return told

    first = sync()
    assert (first["accepted"], first["unchanged"], first["deleted"]) == (3, 0, 0)
    assert ids(stack, "sync") == ["a.md", "mat", "sub/a.md"]
    found = stored(stack, "sync", "sub/a.md")
    assert (found["text"], found["source"]) == ("# Cups\n\nWarm the cup.\n", source_name(folder))
    assert found["metadata"] == {"file": "sub/a.md", "title": "Cups"}
    second = sync()
    assert (second["accepted"], second["unchanged"], second["deleted"]) == (0, 3, 0)
    (folder / "a.md").write_text("# Tea\n\nSteep the leaves for three minutes.\n")
    (folder / "sub" / "a.md").unlink()
    (folder / "new.txt").write_text("A new file.")
    third = sync()
    assert (third["accepted"], third["unchanged"], third["deleted"]) == (2, 1, 1)
    assert ids(stack, "sync") == ["a.md", "mat", "new.txt"]
    assert "three minutes" in str(stored(stack, "sync", "a.md")["text"])


def test_sync_leaves_documents_of_others_alone(stack: Stack, url: str, tandem: Tandem, folder: Path) -> None:
    stack.client.ingest_and_wait([{"id": "other", "text": "Not of the folder."}], "shared")
    other = folder.parent / "more" / "notes"
    other.mkdir(parents=True)
    (other / "a.md").write_text("Another folder of this name.")
    for path, prefix in ((folder, ""), (other, "more/")):
        assert tandem("ingest", str(path), "--sync", "--prefix", prefix, "-c", "shared", "--url", url).status == 0
    assert ids(stack, "shared") == ["a.md", "mat", "more/a.md", "other", "sub/a.md"]
    (other / "a.md").unlink()
    assert tandem("ingest", str(other), "--sync", "-c", "shared", "--url", url).status == 2
    done = tandem("ingest", str(other), "--sync", "--allow-empty", "-c", "shared", "--url", url)
    assert (done.status, done.out) == (0, "0 documents accepted, 1 deleted\n")
    assert ids(stack, "shared") == ["a.md", "mat", "other", "sub/a.md"]


def test_sync_changes_nothing_if_a_file_of_unknown_pages_cannot_be_read(
    stack: Stack, url: str, tandem: Tandem, folder: Path
) -> None:
    assert tandem("ingest", str(folder), "--sync", "-c", "careful", "--url", url).status == 0
    (folder / "a.md").unlink()
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 no more")
    done = tandem("ingest", str(folder), "--sync", "-c", "careful", "--url", url)
    assert done.status == 1
    assert "bad.pdf cannot be read, so nothing was changed" in done.err
    assert done.err.endswith("; --exclude leaves it out\n")
    assert ids(stack, "careful") == ["a.md", "mat", "sub/a.md"]
    without = tandem("ingest", str(folder), "--sync", "--exclude", "bad.pdf", "-c", "careful", "--url", url)
    assert without.status == 0
    assert ids(stack, "careful") == ["mat", "sub/a.md"]


def test_sync_refuses_two_documents_with_one_id(url: str, tandem: Tandem, folder: Path) -> None:
    (folder / "again.jsonl").write_text('{"id": "mat", "text": "again"}\n')
    done = tandem("ingest", str(folder), "--sync", "-c", "twice", "--url", url)
    assert (done.status, done.out) == (2, "")
    assert "two documents of the folder have the id 'mat'" in done.err


def test_a_source_has_the_folders_name_and_tells_folders_apart(tmp_path: Path) -> None:
    names = [source_name(tmp_path / name) for name in ("My notes!", "x/My notes!", "…", "a" * 90)]
    assert names[0].startswith("My-notes-")
    assert names[2].startswith("folder-")
    assert len(set(names)) == 4
    assert all(len(name) <= 64 for name in names)
