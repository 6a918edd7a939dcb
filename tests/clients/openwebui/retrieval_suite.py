"""Open WebUI's own code for embeddings, reranking, web search and files, without its server."""

import json
import urllib.request
from types import SimpleNamespace

import aiohttp
import pytest
from langchain_core.documents import Document
from open_webui.env import ENABLE_FORWARD_USER_INFO_HEADERS
from open_webui.retrieval.loaders.external_document import ExternalDocumentLoader
from open_webui.retrieval.models.external import ExternalReranker
from open_webui.retrieval.utils import (
    generate_azure_openai_batch_embeddings,
    generate_ollama_batch_embeddings,
    generate_openai_batch_embeddings,
    get_embedding_function,
    get_reranking_function,
)
from open_webui.retrieval.web.external import search_external
from service import GUARDED_URL, KEY, TEXTS, URL, check, cosine

BURST = 200
PATHS = {"openai": "/v1", "ollama": "", "azure_openai": ""}
USER = SimpleNamespace(id="u1", name="Zoë", email="zoe@example.com", role="user")
QUERY = "a pet on a rug"
GATEWAYS = [(URL, ""), (GUARDED_URL, KEY)]

engines = pytest.mark.parametrize("engine", PATHS)
gateways = pytest.mark.parametrize(("url", "key"), GATEWAYS, ids=["open", "guarded"])


def embedding(engine, url=URL, key="", batch=1):
    return get_embedding_function(
        engine, "any", None, f"{url}{PATHS[engine]}", key, batch, azure_api_version="2024-10-21"
    )


def post(path, body, url=URL, key=""):
    request = urllib.request.Request(
        f"{url}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


@engines
@gateways
async def test_texts_are_embedded(engine, url, key):
    function = embedding(engine, url, key)
    vectors = await function(TEXTS, user=USER)
    check(vectors)
    assert cosine(await function(TEXTS[0], user=USER), vectors[0]) > 0.999
    check(await embedding(engine, url, key, batch=32)(TEXTS))


def test_texts_are_embedded_by_the_functions_that_wait():
    check(generate_openai_batch_embeddings("any", TEXTS, f"{URL}/v1"))
    check(generate_ollama_batch_embeddings("any", TEXTS, URL))
    check(generate_azure_openai_batch_embeddings("any", TEXTS, GUARDED_URL, KEY, "2024-10-21"))


async def test_the_vectors_are_those_of_the_gateways_own_search():
    query, document = await embedding("openai")([QUERY, TEXTS[1]])
    found = post("/v1/search", {"query": QUERY, "mode": "dense"})["results"]
    hit = next(each for each in found if each["text"] == TEXTS[1])
    assert cosine(query, document) == pytest.approx(hit["score"], abs=0.02)


@engines
@gateways
async def test_a_burst_as_it_comes_for_a_file(engine, url, key):
    """One request for each chunk, all at once, each on a connection of its own and without a retry."""
    texts = [f"chunk {number} of a document by {engine}" for number in range(BURST)]
    vectors = await embedding(engine, url, key)(texts)
    assert len({tuple(vector) for vector in vectors}) == BURST
    together = await embedding(engine, url, key, batch=BURST)(texts)
    assert min(cosine(one, other) for one, other in zip(vectors, together, strict=True)) > 0.99


async def test_the_name_of_the_prefix_field_may_be_input_type():
    """The suite runs with RAG_EMBEDDING_PREFIX_FIELD_NAME=input_type, which OpenAI's route reads."""
    for kind in ("query", "document"):
        check(await embedding("openai")(TEXTS, prefix=kind))
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await embedding("openai")(TEXTS, prefix="other")
    assert refused.value.status == 422


@engines
async def test_embeddings_ask_for_a_key(engine):
    for key in ("", "wrong"):
        with pytest.raises(Exception, match="401"):
            await embedding(engine, GUARDED_URL, key)(TEXTS)


@gateways
def test_documents_are_reranked(url, key):
    reranker = ExternalReranker(key, f"{url}/v1/rerank", "any", timeout=60)
    scores = get_reranking_function("external", "any", reranker)(
        "a cat", [Document(page_content=text) for text in TEXTS], user=USER
    )
    assert len(scores) == len(TEXTS)
    assert scores[1] == max(scores)
    assert scores[2] == min(scores)
    many = reranker.predict([("a cat", f"chunk {number} of a document") for number in range(BURST)])
    assert len(many) == BURST


def test_reranking_asks_for_a_key():
    assert ExternalReranker("wrong", f"{GUARDED_URL}/v1/rerank", "any").predict([("a cat", TEXTS[0])]) is None


@gateways
def test_the_web_search_finds_documents_of_a_collection(url, key):
    request = SimpleNamespace(state=SimpleNamespace(chat_id="a-chat"))
    path = f"{url}/v1/collections/default/web-search"
    found = search_external(request, path, key, QUERY, 2, user=USER)
    assert [(hit.link, hit.title, hit.snippet) for hit in found][:1] == [
        ("https://example.com/mat", "Mat", "The cat sat on the mat.")
    ]
    assert len(found) == 2
    assert found[1].link.startswith(f"{url}/v1/collections/default/documents?id=")
    only = search_external(request, path, key, QUERY, 2, filter_list=["example.com"])
    assert [hit.title for hit in only] == ["Mat"]


def test_the_web_search_asks_for_a_key():
    request = SimpleNamespace(state=SimpleNamespace())
    assert search_external(request, f"{GUARDED_URL}/v1/collections/default/web-search", "wrong", QUERY, 2) == []


@gateways
def test_files_are_read(tmp_path, url, key):
    def load(name, content, kind):
        path = tmp_path / name
        path.write_bytes(content)
        return ExternalDocumentLoader(str(path), url, key, kind, user=USER).load()

    text = load("Grüße und mehr.txt", "Zwölf Katzen schlafen.".encode(), "text/plain")
    assert [each.page_content for each in text] == ["Zwölf Katzen schlafen."]
    page = load("page.html", b"<html><body><h1>Tea</h1><p>Steep the leaves.</p></body></html>", "text/html")
    assert "Steep the leaves." in page[0].page_content
    assert "<p>" not in page[0].page_content
    rows = load("rows.csv", b"name,text\nmat,The cat sat.\ntea,Steep the leaves.\n", "text/csv")
    assert len(rows) == 2
    assert "The cat sat." in rows[0].page_content
    with pytest.raises(Exception, match=r"422 .*broken\.pdf"):
        load("broken.pdf", b"%PDF-1.4 no more", "application/pdf")


def test_reading_files_asks_for_a_key(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("text")
    with pytest.raises(Exception, match="401"):
        ExternalDocumentLoader(str(path), GUARDED_URL, "wrong", "text/plain").load()


def test_the_suite_runs_with_the_headers_that_name_the_user():
    assert ENABLE_FORWARD_USER_INFO_HEADERS
