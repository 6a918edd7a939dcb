"""Files → documents over HTTP, with the real processes, store and server."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.adapters import file_extraction
from tests.gateway.files.gateways import PATH, gateway, send
from tests.gateway.files.samples import docx, page, pdf
from tests.support.fakes import eventually

ROWS = b"text,id,year\nA cat sat.,cat,1999\nA dog ran.,,\n"


async def test_files_of_every_format_become_documents(tmp_path: Path) -> None:
    files = [
        ("tea.txt", b"Steep the leaves."),
        ("guide.md", b"# A guide\n\nTake the leaves."),
        ("page.html", page("A page", "<p>Some text</p>")),
        ("rows.csv", ROWS),
        ("lines.jsonl", b'{"text": "a line", "n": 1.50}\n'),
        ("paper.pdf", pdf("First page", "", "Third page", title="A paper")),
        ("letter.docx", docx("Dear reader", "Bye", title="A letter")),
    ]
    async with gateway(tmp_path) as client:
        status, reply = await send(client, files, collection="books", metadata='{\n "team": "x" }')
        assert status == 202, reply
        ids = [
            "tea.txt", "guide.md", "page.html", "cat", "rows.csv#2", "lines.jsonl#1", "paper.pdf#1", "paper.pdf#3",
            "letter.docx",
        ]  # fmt: skip
        assert reply["document_ids"] == ids
        assert (reply["collection"], reply["total_documents"]) == ("books", 9)
        assert [(file["name"], file["documents"], file["error"]) for file in reply["files"]] == [
            (name, count, None) for (name, _), count in zip(files, (1, 1, 1, 2, 1, 2, 1), strict=True)
        ]
        stored = await client.post("/v1/collections/books/documents/get", json={"ids": ids})
        found = {document["id"]: (document["text"], document["metadata"]) for document in stored.json()["documents"]}
    assert found == {
        "tea.txt": ("Steep the leaves.", {"team": "x", "file": "tea.txt"}),
        "guide.md": ("# A guide\n\nTake the leaves.", {"team": "x", "title": "A guide", "file": "guide.md"}),
        "page.html": ("Some text", {"team": "x", "title": "A page", "file": "page.html"}),
        "cat": ("A cat sat.", {"team": "x", "year": "1999", "file": "rows.csv"}),
        "rows.csv#2": ("A dog ran.", {"team": "x", "file": "rows.csv"}),
        "lines.jsonl#1": ("a line", {"team": "x", "n": 1.5, "file": "lines.jsonl"}),
        "paper.pdf#1": ("First page", {"team": "x", "page": 1, "title": "A paper", "file": "paper.pdf"}),
        "paper.pdf#3": ("Third page", {"team": "x", "page": 3, "title": "A paper", "file": "paper.pdf"}),
        "letter.docx": ("Dear reader\nBye", {"team": "x", "title": "A letter", "file": "letter.docx"}),
    }


async def test_a_file_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    files = [("a.txt", b"a"), ("a.exe", b"b"), ("b.csv", b"body,id\nx,1\n"), ("a.txt", b"c"), ("c.pdf", b"no PDF")]
    async with gateway(tmp_path) as client:
        status, reply = await send(client, files)
    assert (status, reply["document_ids"]) == (202, ["a.txt"])
    first, executable, table, again, broken = reply["files"]
    assert first == {"name": "a.txt", "documents": 1, "error": None}
    assert "has to end in one of .txt" in executable["error"]
    assert "a column 'text' is missing" in table["error"]
    assert "same name" in again["error"]
    assert "cannot be read as PDF" in broken["error"]


async def test_if_all_files_fail_the_error_is_the_first_ones(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client:
        status, reply = await send(client, [("b.csv", b"body,id\nx,1\n"), ("a.exe", b"")])
        stored = await client.get("/v1/collections/default")
    assert (status, reply["error"]["param"]) == (422, "files[0]")
    assert "b.csv: a column 'text' is missing" in reply["error"]["message"]
    assert "none of the 2 files can be stored" in reply["error"]["message"]
    assert (stored.json()["document_count"], stored.json()["pending_documents"]) == (0, 0)


async def test_a_text_that_is_too_long_or_an_id_twice_fails_its_file(tmp_path: Path) -> None:
    files = [("a.txt", b"x" * 101), ("a.csv", b"text,id\na,same\n"), ("b.csv", b"text,id\nb,other\nb,same\n")]
    async with gateway(tmp_path, max_text_chars=100) as client:
        status, reply = await send(client, files)
    assert (status, reply["document_ids"]) == (202, ["same"])
    assert reply["files"][0]["error"] == "document.text: at most 100 characters are allowed, not 101"
    assert reply["files"][2] == {
        "name": "b.csv", "documents": 0, "error": "the id 'same' is there already, in a.csv",
    }  # fmt: skip


async def test_the_same_files_with_the_same_key_are_stored_once(tmp_path: Path) -> None:
    key = {"idempotency-key": "k"}
    async with gateway(tmp_path) as client:
        first = await send(client, [("rows.csv", ROWS)], key)
        again = await send(client, [("rows.csv", ROWS)], key)
        other = await send(client, [("rows.csv", b"text\nz\n")], key)
    assert first[1]["job_id"] == again[1]["job_id"]
    assert first[1]["files"] == again[1]["files"]
    assert (other[0], other[1]["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("options", "files", "expected"),
    [
        ({"max_files": 1}, [("a.txt", b"a"), ("b.txt", b"b")], (422, "limit_exceeded", "files")),
        ({"max_file_bytes": 10}, [("a.txt", b"x" * 11)], (413, "body_too_large", "files[0]")),
        ({"max_body_bytes": 2000}, [("a.txt", b"x" * 2000)], (413, "body_too_large", "body")),
        ({"max_documents": 2}, [("a.csv", b"text\na\nb\n"), ("b.txt", b"b")], (422, "limit_exceeded", "documents")),
        ({"max_documents": 2}, [("a.csv", b"text\na\nb\nc\n")], (422, "invalid_field", "files[0]")),
        ({"max_file_chars": 20}, [("a.txt", b"x" * 21)], (422, "invalid_field", "files[0]")),
    ],
)
async def test_every_limit_is_named(
    tmp_path: Path, options: dict[str, int], files: list[tuple[str, bytes]], expected: tuple[int, str, str]
) -> None:
    async with gateway(tmp_path, **options) as client:
        status, reply = await send(client, files)
        assert (status, reply["error"]["code"], reply["error"]["param"]) == expected
        assert any(str(value) in reply["error"]["message"] for value in options.values())
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"metadata": "{"}, (400, "metadata")),
        ({"metadata": '{"file": "x"}'}, (422, "metadata.file")),
        ({"metadata": '{"a": [[]]}'}, (422, "metadata.a")),
        ({"collection": "no name"}, (422, "collection")),
        ({"colection": "a"}, (422, "colection")),
    ],
)
async def test_a_field_that_is_not_valid_is_named(
    tmp_path: Path, fields: dict[str, str], expected: tuple[int, str]
) -> None:
    async with gateway(tmp_path) as client:
        status, reply = await send(client, [("a.txt", b"a")], **fields)
    assert (status, str(reply["error"]["param"]).partition("[")[0]) == expected


async def test_what_is_no_form_is_refused(tmp_path: Path) -> None:
    form = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\ncontent-disposition: form-data; name="files"; filename="a.txt"\r\n\r\nx'
    async with gateway(tmp_path) as client:
        for body, headers, expected in (
            (json.dumps({}).encode(), {"content-type": "application/json"}, (415, "content-type")),
            (b"", {"content-type": "multipart/form-data"}, (415, "content-type")),
            (part, {**form, "content-encoding": "br"}, (415, "content-encoding")),
            (part, {**form, "content-encoding": "gzip"}, (400, "body")),
            (part + b"\r\n--b--", {**form, "origin": "http://x"}, (403, "sec-fetch-site")),
            (part + b"\r\n--b--", {**form, "sec-fetch-site": "same-site"}, (403, "sec-fetch-site")),
            (b"", form, (400, "body")),
            (part, form, (400, "body")),
            (b"--b--", form, (422, "files")),
        ):
            reply = await client.post(PATH, content=body, headers=headers)
            assert (reply.status_code, reply.json()["error"]["param"]) == expected, body
        reply = await client.post(PATH, content=part + b"\r\n--b--", headers={**form, "sec-fetch-site": "same-origin"})
        assert reply.status_code == 202


async def test_a_client_that_leaves_ends_the_reading_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "endless"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o700)
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    async def count() -> int:
        return len(started)

    async def ended() -> bool:
        return all(process.returncode is not None for process in started)

    async with gateway(tmp_path / "data", file_processes=1) as client:
        monkeypatch.setattr(file_extraction.sys, "executable", str(program))
        monkeypatch.setattr(file_extraction.subprocess, "Popen", Recorded)
        task = asyncio.create_task(send(client, [("a.txt", b"a"), ("b.txt", b"b")]))
        await eventually(count, bool)
        task.cancel()
        await asyncio.wait([task])
        assert await eventually(ended, bool)
        monkeypatch.undo()
        assert (await send(client, [("a.txt", b"a")]))[0] == 202
    assert len(started) == 1


async def test_files_beyond_the_memory_budget_get_429(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, max_body_bytes=1 << 20, max_answer_bytes=1 << 16, max_bytes_in_flight=2 << 20
    ) as client:
        lines = b"\n".join(b'{"text":"%d","m":"%s"}' % (n, b"x" * 900) for n in range(1100))
        status, reply = await send(client, [("a.jsonl", lines[: 1 << 20])])
        assert (status, reply["error"]["code"]) == (429, "overloaded")
        assert (await send(client, [("a.txt", b"a")]))[0] == 202
