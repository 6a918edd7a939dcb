"""A hit of a PDF tells its page; one of a file with headings tells its heading and the place of its passage."""

from tests.gateway.files.samples import docx, page, pdf
from tests.support.stack import Client


def upload(client: Client, collection: str, name: str, content: bytes) -> None:
    reply = client.http.post("/v1/ingest/files", files={"files": (name, content)}, data={"collection": collection})
    assert reply.status_code == 202, reply.text
    assert client.wait_job(reply.json()["job_id"]).status == "completed"


def test_a_hit_of_a_pdf_tells_its_page(client: Client, collection: str) -> None:
    upload(client, collection, "paper.pdf", pdf("A lighthouse in the fog", "", "A kettle on the stove"))
    (best, other) = client.search("boiling water for tea", 5, collection).results
    assert (best.id, best.metadata["page"]) == ("paper.pdf#3", 3)
    assert (other.id, other.metadata["page"]) == ("paper.pdf#1", 1)
    body = {"query": "water", "collection": collection, "filter": {"page": 1}}
    assert [hit["id"] for hit in client.http.post("/v1/search", json=body).json()["results"]] == ["paper.pdf#1"]


def test_a_hit_of_markdown_tells_where_its_passage_is(client: Client, collection: str) -> None:
    client.http.put(f"/v1/collections/{collection}", json={"chunking": {"max_tokens": 32, "overlap_tokens": 0}})
    text = (
        f"# Tea\n\n{'Steep the leaves in hot water. ' * 4}\n\n# Ships\n\n{'A lighthouse guides ships in fog. ' * 4}\n"
    )
    upload(client, collection, "guide.md", text.encode())
    body = {"query": "a tower that guides ships at night", "mode": "dense", "collection": collection, "top_k": 1}
    (hit,) = client.http.post("/v1/search", json=body).json()["results"]
    passage = hit["passage"]
    assert hit["text"][passage["start"] : passage["end"]] == passage["text"]
    assert passage["start"] >= hit["text"].index("# Ships")  # a passage of this section, not of the one before
    assert passage["heading"] == "Ships"


def test_a_hit_of_a_page_and_of_a_word_file_tells_its_heading(client: Client, collection: str) -> None:
    upload(client, collection, "tea.html", page("Tea", "<h1>Black tea</h1><p>Steep the leaves in hot water.</p>"))
    upload(client, collection, "ships.docx", docx("Signals", "A lighthouse guides ships in fog.", headings=(0,)))
    upload(client, collection, "plain.html", page("Plain", "<p># A cat sat on the mat.</p>"))
    found = client.http.post("/v1/search", json={"query": "a tower at the coast", "collection": collection}).json()
    headings = {hit["id"]: hit["passage"].get("heading") for hit in found["results"]}
    assert headings == {"tea.html": "Black tea", "ships.docx": "Signals", "plain.html": None}
