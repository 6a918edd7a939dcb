"""Open WebUI's requests: its web search finds documents of a collection, and its document loader reads files."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.compatible.open_webui import MAX_SNIPPET_CHARS, encode_loaded, name_of_file, result_of
from tandem_gateway.records.search import Hit, HitPassage
from tests.gateway.files.gateways import gateway
from tests.gateway.files.samples import docx, pdf

BASE = "http://gateway:8000"
OWN = f"{BASE}/v1/collections/books/documents?id="


@pytest.mark.parametrize(
    ("metadata", "link", "title"),
    [
        ({"url": "https://a.example/x", "source": "https://b.example", "title": "T"}, "https://a.example/x", "T"),
        ({"link": "HTTPS://a.example", "file": "a.pdf"}, "HTTPS://a.example", "a.pdf"),
        ({"url": "no link", "source": "http://b.example", "title": " "}, "http://b.example", "a/ü"),
        ({"url": 5, "source": ["https://b.example"], "title": 7}, f"{OWN}a%2F%C3%BC", "a/ü"),
        ({}, f"{OWN}a%2F%C3%BC", "a/ü"),
    ],
)
def test_link_and_title_are_of_the_metadata_or_of_the_document(metadata: Any, link: str, title: str) -> None:
    hit = Hit("a/ü", 0.5, "one two three", json.dumps(metadata), passage=HitPassage(1, 4, 7))
    result = result_of(hit, "books", BASE)
    assert (result.link, result.title, result.snippet) == (link, title, "two")


def test_a_long_text_is_cut_and_numbers_of_any_size_are_read_over() -> None:
    metadata = '{"url": 1e999, "n": 123456789012345678901234567890}'
    assert len(result_of(Hit("a", 0.5, "x" * 9_000, metadata), "books", BASE).snippet) == MAX_SNIPPET_CHARS


@pytest.mark.parametrize(
    ("given", "content_type", "name"),
    [
        (b"a%20%C3%BC.PDF", b"application/octet-stream", "a ü.PDF"),
        (b"..%2F..%2Fx.txt", b"", "x.txt"),
        (b"C:%5Cx.md", b"text/plain", "x.md"),
        (b"notes", b"text/plain; charset=utf-8", "notes.txt"),
        (b"", b"application/pdf", "file.pdf"),
    ],
)
def test_the_name_of_a_file(given: bytes, content_type: bytes, name: str) -> None:
    assert name_of_file(given, content_type) == name


@pytest.mark.parametrize("given", [b"%ff.txt", b"a.exe", b"", b"a" * 3_001 + b".txt"])
def test_a_name_that_tells_nothing_is_refused(given: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^x-filename: "):
        name_of_file(given, b"application/octet-stream")


@given(st.text(max_size=50))
def test_every_name_that_open_webui_sends_is_read(name: str) -> None:
    found = name_of_file(quote(name.encode(errors="replace")).encode(), b"text/plain")
    assert found.lower().endswith((".txt", ".md", ".html", ".htm", ".csv", ".jsonl", ".pdf", ".docx"))
    assert "/" not in found


def test_one_document_is_an_object_and_several_are_a_list() -> None:
    line = b'{"id":"a","text":"x","metadata":{"n":1.50},"format":"text"}\n'
    assert encode_loaded(line) == b'{"page_content":"x","metadata":{"n":1.50}}'
    assert len(msgspec.json.decode(encode_loaded(line * 3))) == 3


async def test_a_web_search_returns_a_bare_list(tmp_path: Path) -> None:
    documents = [
        {"id": "a", "text": "needle in hay", "metadata": {"url": "https://a.example", "title": "A"}},
        {"id": "b", "text": "another needle " + "word " * 10_000},
        *[{"id": f"c{n}", "text": f"needle {n}", "metadata": {"text": "x" * 8_000}} for n in range(20)],
    ]
    async with gateway(tmp_path) as client:
        path = "/v1/collections/books/web-search"
        assert (await client.post(path, json={"query": "needle", "count": 3})).status_code == 404
        ingest = {"documents": documents, "collection": "books"}
        assert (await client.post("/v1/ingest", json=ingest)).status_code == 202
        # No embedder is there, so keyword search answers; unknown fields and parameters do not matter.
        reply = await client.post(f"{path}?x=1", json={"query": "needle hay", "count": 2, "user": "u"})
        many = await client.post(path, json={"query": "needle", "count": 50})
        assert reply.status_code == 200, reply.text
        assert reply.json()[0] == {"link": "https://a.example", "title": "A", "snippet": "needle in hay"}
        assert len(reply.json()) == 2
        assert len(many.json()) == 22
        own = next(each for each in many.json() if each["title"] == "b")
        assert (await client.get(own["link"])).json()["id"] == "b"
        for body, param in (({"query": "x", "count": 0}, "count"), ({"query": "x", "count": 1001}, "count"),
                            ({"query": " "}, "query"), ({"count": 1}, "query")):  # fmt: skip
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["error"]["param"]) == (422, param)


async def load(client: httpx.AsyncClient, name: str, content: bytes, kind: str = "application/octet-stream") -> Any:
    headers = {"x-filename": quote(name), "content-type": kind}
    return await client.put("/process", content=content, headers=headers)


async def test_files_are_read_and_nothing_is_stored(tmp_path: Path) -> None:
    async with gateway(tmp_path, max_file_bytes=60_000) as client:
        text = await load(client, "über.txt", "Grüße".encode())
        assert text.json() == {"page_content": "Grüße", "metadata": {"file": "über.txt"}}
        pages = (await load(client, "a.pdf", pdf("one", "two"), "application/pdf")).json()
        assert [(each["page_content"], each["metadata"]["page"]) for each in pages] == [("one", 1), ("two", 2)]
        assert "word" in (await load(client, "a.docx", docx("a word"))).json()["page_content"]
        rows = await load(client, "rows.csv", b"text,n\n" + b"a long enough row,1\n" * 900)
        assert len(rows.json()) == 900
        for name, content, expected in (
            ("a.pdf", b"no pdf", (422, "body")),
            ("a.exe", b"x", (422, "x-filename")),
            ("a.txt", b"x" * 60_001, (413, "body")),
            ("a.txt", b" ", (422, "body")),
        ):
            refused = await load(client, name, content)
            assert (refused.status_code, refused.json()["error"]["param"]) == expected, refused.text
        stored = (await client.get("/v1/collections")).json()["collections"]
        assert [(each["document_count"], each["pending_documents"]) for each in stored] == [(0, 0)]
