"""Open WebUI works with a real gateway: its functions in ``openwebui/``, and its server by its own API.

``make openwebui`` runs this file. Its name keeps it out of ``make test``, since the package and its requirements
are large.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tandem_tools.process import Process, free_port
from tandem_tools.readiness import answers
from tests.clients.environments import REPOSITORY, environment, run_suite, settings
from tests.clients.language_model import NAME, repeated, served_model
from tests.support.stack import Client, Document, Stack, gateway_process, wait_until

PAGE = (REPOSITORY / "docs" / "open-webui.md").read_text()
VARIABLES = dict(
    line.split("=", maxsplit=1) for line in re.findall(r"^```ini\n(.*?)^```", PAGE, re.M | re.S)[0].splitlines() if line
)
"""The environment variables that the documentation gives, with placeholders."""
ADMIN_KEY = "a-key-from-outside-of-32-characters"
DOCUMENTS: list[Document] = [
    {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"title": "Mat", "url": "https://example.com/mat"}},
    {"id": "tea", "text": "Steep the leaves for three minutes."},
]
CAT = "Chapter 7. " + "The cat sat on the mat and slept. " * 20
BOOK = "\n\n".join(
    CAT if number == 7 else f"Chapter {number}. " + f"Machine {number} makes bolts in the factory. " * 20
    for number in range(30)
)
"""A file of 30 chapters, each a chunk, one of them about a cat."""
QUESTION = "a pet asleep on a rug"

pytestmark = pytest.mark.timeout(900)  # the first run downloads Open WebUI


@pytest.fixture(scope="module")
def python() -> Path:
    if sys.version_info >= (3, 13):
        pytest.fail("Open WebUI 0.12 needs Python 3.11 or 3.12: make clean, then make PYTHON=python3.12 openwebui")
    return environment("openwebui")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir) as running:
        running.client.ingest_and_wait(DOCUMENTS)
        yield running


@pytest.fixture(scope="module")
def gateway(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A gateway with access control."""
    folder = tmp_path_factory.mktemp("guarded")
    process, client = gateway_process(folder, folder / "data", stack.embedder_url, env={"TANDEM_API_KEY": ADMIN_KEY})
    client.http.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    with process:
        process.wait_ready()
        wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
        client.ingest_and_wait(DOCUMENTS)
        yield client
        client.close()


@pytest.fixture(scope="module")
def key(gateway: Client) -> str:
    """The key that the documentation asks for."""
    made = gateway.http.post("/v1/admin/keys", json={"name": "open-webui", "role": "ingest"}).json()["key"]
    assert isinstance(made, str)
    return made


def surroundings(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which Open WebUI keeps its data in a folder and calls no other service."""
    names = ("RAG_", "WEB_SEARCH_", "EXTERNAL_", "CONTENT_EXTRACTION_", "ENABLE_", "WEBUI_", "DATABASE_", "VECTOR_DB")
    inherited = {name: value for name, value in settings().items() if not name.startswith(names)}
    return {
        **inherited,
        "ANONYMIZED_TELEMETRY": "false",
        "DATA_DIR": str(folder / "data"),
        "DO_NOT_TRACK": "true",
        "ENABLE_OLLAMA_API": "false",
        "FROM_INIT_PY": "true",
        "HF_HUB_OFFLINE": "1",
        "OFFLINE_MODE": "true",
        "STATIC_DIR": str(folder / "static"),
        "WEBUI_SECRET_KEY": "a-secret-of-this-test-of-32-characters",
        **more,
    }


def model_of(url: str) -> dict[str, str]:
    """Return environment variables for the stand-in of a language model, which cannot rewrite a question."""
    return {
        "ENABLE_RETRIEVAL_QUERY_GENERATION": "false",
        "ENABLE_SEARCH_QUERY_GENERATION": "false",
        "OPENAI_API_BASE_URL": url,
        "OPENAI_API_KEY": "none",
    }


def test_its_functions_work_unchanged(python: Path, stack: Stack, gateway: Client, key: str, tmp_path: Path) -> None:
    more = {
        "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
        "RAG_EMBEDDING_PREFIX_FIELD_NAME": "input_type",
        "TANDEM_TEST_GUARDED_URL": gateway.url,
        "TANDEM_TEST_KEY": key,
    }
    run_suite(python, "openwebui", "retrieval_suite.py", stack.client.url, surroundings(tmp_path, more))


@pytest.fixture(scope="module")
def language_model() -> Iterator[str]:
    with served_model(repeated) as url:
        yield url


@pytest.fixture(scope="module")
def server(
    python: Path, gateway: Client, key: str, language_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """Open WebUI's server with the variables of the documentation, and a client that has signed up as its admin."""
    folder = tmp_path_factory.mktemp("openwebui")
    (folder / "data").mkdir()
    filled = {
        name: value.replace("http://gateway:8000", gateway.url).replace("KEY", key) for name, value in VARIABLES.items()
    }
    url = f"http://127.0.0.1:{free_port()}"
    process = Process(
        "server of Open WebUI",
        [python.parent / "open-webui", "serve", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]],
        folder / "server.log",
        env=surroundings(folder, {**filled, **model_of(language_model)}),
        cwd=folder,
        ready=answers(f"{url}/health"),
        ready_seconds=120,
    )
    with process, httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
        process.wait_ready()
        signed_up = http.post(
            "/api/v1/auths/signup", json={"name": "Admin", "email": "admin@example.com", "password": "a-Password-1"}
        )
        assert signed_up.status_code == 200, signed_up.text
        http.headers["authorization"] = f"Bearer {signed_up.json()['token']}"
        yield http
        print(process.log_text()[-20_000:])  # pytest shows it if a test failed


def uploaded(server: httpx2.Client, name: str, content: bytes, kind: str) -> tuple[str, dict[str, object]]:
    """Upload a file and return its id and its data, once Open WebUI has processed it."""
    made = server.post("/api/v1/files/", files={"file": (name, content, kind)})
    assert made.status_code == 200, made.text
    number = made.json()["id"]

    def processed() -> bool:
        return server.get(f"/api/v1/files/{number}/process/status").json()["status"] in {"completed", "failed"}

    wait_until(processed, f"Open WebUI processes {name}", timeout=60)
    return number, server.get(f"/api/v1/files/{number}").json()["data"]


def test_a_file_is_read_embedded_and_found(server: httpx2.Client, gateway: Client) -> None:
    before = gateway.metric("tandem_gateway_embedding_texts_total", {"api": "openai"})
    number, data = uploaded(server, "book.txt", BOOK.encode(), "text/plain")
    assert data["status"] == "completed", data
    chunks = gateway.metric("tandem_gateway_embedding_texts_total", {"api": "openai"}) - before
    assert chunks == 30

    collection = f"file-{number}"
    for hybrid in (False, True):
        reply = server.post(
            "/api/v1/retrieval/query/collection",
            json={"collection_names": [collection], "query": QUESTION, "k": 5, "k_reranker": 3, "hybrid": hybrid},
        )
        assert reply.status_code == 200, reply.text
        assert "The cat sat" in reply.json()["documents"][0][0]
    # The scores of hybrid search are those of the gateway's reranker.
    found = reply.json()
    reranked = gateway.http.post("/v1/rerank", json={"query": QUESTION, "documents": found["documents"][0]}).json()
    scores = [each["relevance_score"] for each in reranked["results"]]
    assert found["distances"][0] == pytest.approx(scores, abs=0.01)


def prompted(server: httpx2.Client, more: Mapping[str, object]) -> str:
    """Ask the question in a chat and return the prompt that the language model got."""
    question = {"role": "user", "content": QUESTION}
    reply = server.post("/api/chat/completions", json={"model": NAME, "stream": False, "messages": [question], **more})
    assert reply.status_code == 200, reply.text
    prompt = reply.json()["choices"][0]["message"]["content"]
    assert isinstance(prompt, str)
    assert QUESTION in prompt
    return prompt


def test_a_question_about_a_file_reaches_the_language_model_with_the_passages_that_answer_it(
    server: httpx2.Client,
) -> None:
    number, _ = uploaded(server, "chapters.txt", BOOK.replace("Chapter", "Part").encode(), "text/plain")
    prompt = prompted(server, {"files": [{"type": "file", "id": number, "name": "chapters.txt"}]})
    assert "Part 7. The cat sat on the mat" in prompt
    assert prompt.count("Machine") < BOOK.count("Machine") / 5  # the best chunks, not the whole file


def test_the_gateway_reads_a_page(server: httpx2.Client) -> None:
    page = b"<html><body><h1>Tea</h1><p>Steep the leaves.</p></body></html>"
    _, data = uploaded(server, "tea.html", page, "text/html")
    assert data["status"] == "completed", data
    assert "Steep the leaves." in str(data["content"])
    assert "<p>" not in str(data["content"])


def test_the_reason_of_a_file_that_cannot_be_read_is_shown(server: httpx2.Client) -> None:
    _, data = uploaded(server, "broken.pdf", b"%PDF-1.4 no more", "application/pdf")
    assert data["status"] == "failed"
    assert "broken.pdf" in str(data["error"])


def test_the_web_search_finds_documents_of_the_collection(server: httpx2.Client) -> None:
    reply = server.post("/api/v1/retrieval/process/web/search", json={"queries": ["a pet on a rug"]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["items"][0] == {
        "link": "https://example.com/mat",
        "title": "Mat",
        "snippet": "The cat sat on the mat.",
    }
    found = server.post(
        "/api/v1/retrieval/query/collection",
        json={"collection_names": reply.json()["collection_names"], "query": "a pet on a rug", "k": 1},
    )
    assert found.json()["documents"] == [["The cat sat on the mat."]]


def test_a_question_with_web_search_reaches_the_language_model_with_documents_of_the_collection(
    server: httpx2.Client,
) -> None:
    assert "The cat sat on the mat." not in prompted(server, {})
    prompt = prompted(server, {"features": {"web_search": True}, "params": {"function_calling": "legacy"}})
    assert "The cat sat on the mat." in prompt


def test_a_wrong_key_in_the_settings_is_told(server: httpx2.Client, gateway: Client, key: str) -> None:
    def use(value: str) -> None:
        changed = server.post(
            "/api/v1/retrieval/embedding/update",
            json={
                "RAG_EMBEDDING_ENGINE": "openai",
                "RAG_EMBEDDING_MODEL": "any",
                "openai_config": {"url": f"{gateway.url}/v1", "key": value},
            },
        )
        assert changed.status_code == 200, changed.text

    use("wrong")
    try:
        _, data = uploaded(server, "note.txt", b"A note.", "text/plain")
        assert data["status"] == "failed"
        assert "401" in str(data["error"])
    finally:
        use(key)
    _, data = uploaded(server, "other.txt", b"Another note.", "text/plain")
    assert data["status"] == "completed", data
