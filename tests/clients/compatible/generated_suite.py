"""A typed client that openapi-python-client makes from the gateway's OpenAPI document, without any warning."""

import importlib
import subprocess
import sys
import time
from http import HTTPStatus

import httpx
import pytest
from service import GUARDED_URL, KEY, URL

COLLECTION = "generated"
# The generator takes lines of JSON for an unknown encoding unless it is told that they are bytes.
OPTIONS = """
content_type_overrides:
  application/x-ndjson: application/octet-stream
post_hooks: []
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that imports a module of the generated package."""
    folder = tmp_path_factory.mktemp("generated")
    document = httpx.get(f"{URL}/openapi.json")
    document.raise_for_status()
    (folder / "openapi.json").write_bytes(document.content)
    (folder / "options.yml").write_text(OPTIONS)
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-m", "openapi_python_client", "generate", "--meta=none", "--fail-on-warning"),
            *("--path=openapi.json", "--config=options.yml", "--output-path=made_client"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    operations = [operation for operations in document.json()["paths"].values() for operation in operations.values()]
    files = {path.stem for path in (folder / "made_client" / "api").rglob("*.py")}
    assert {operation["operationId"] for operation in operations} <= files
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"made_client.{name}")
    sys.path.remove(str(folder))


@pytest.fixture
def client(made):
    # Routes that need a key while access control is on ask for this class; without access control, any key will do.
    with made("client").AuthenticatedClient(base_url=URL, token="none", raise_on_unexpected_status=True) as client:
        yield client


@pytest.fixture
def guarded(made):
    with made("client").AuthenticatedClient(base_url=GUARDED_URL, token=KEY) as client:
        yield client


def finished(made, client, job_id):
    """Wait for the end of a job, at most 60 s."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        job = made("api.ingest.get_job").sync(job_id, client=client, wait_seconds=10)
        if job.status in ("completed", "failed"):
            return job
    raise AssertionError(f"job {job_id} has no end")


def test_documents_are_ingested_found_and_listed(made, client):
    models = made("models")
    documents = [
        models.DocumentInput(
            id="mat", text="The cat sat on the mat.", metadata=models.DocumentInputMetadata.from_dict({"page": 1})
        ),
        models.DocumentInput(id=7, text="Steep the leaves for three minutes."),
    ]
    job = made("api.ingest.ingest").sync(
        client=client, body=models.IngestRequest(documents=documents, collection=COLLECTION)
    )
    assert isinstance(job, models.Job)
    done = finished(made, client, job.job_id)
    assert (done.status, done.total_documents, done.processed_documents) == ("completed", 2, 2)

    found = made("api.search.search").sync(
        client=client,
        body=models.SearchRequest(query="a pet on a rug", collection=COLLECTION, mode=models.SearchRequestMode.DENSE),
    )
    assert isinstance(found, models.SearchReply)
    assert [hit.id for hit in found.results] == ["mat", "7"]
    assert found.results[0].text == "The cat sat on the mat."
    assert found.results[0].score > found.results[1].score

    wanted = models.Filter.from_dict({"page": {"$lt": 5}})
    filtered = made("api.search.search").sync(
        client=client, body=models.SearchRequest(query="a pet", collection=COLLECTION, filter_=wanted)
    )
    assert [hit.id for hit in filtered.results] == ["mat"]

    page = made("api.documents.get_document").sync(COLLECTION, client=client, limit=1)
    assert isinstance(page, models.DocumentList)
    assert [document.id for document in page.documents] == ["7"]
    rest = made("api.documents.get_document").sync(COLLECTION, client=client, limit=1, cursor=page.next_cursor)
    assert [document.id for document in rest.documents] == ["mat"]
    assert rest.documents[0].metadata == {"page": 1}


def test_documents_as_lines_are_ingested(made, client):
    lines = b'{"id": "one", "text": "one"}\n{"id": "two", "text": "two"}\n'
    job = made("api.ingest.ingest").sync(
        client=client, body=made("types").File(payload=lines), collection=f"{COLLECTION}-lines"
    )
    assert finished(made, client, job.job_id).processed_documents == 2


def test_an_error_is_an_error_reply_with_its_code_and_field(made, client):
    models = made("models")
    reply = made("api.search.search").sync_detailed(client=client, body=models.SearchRequest(query=" "))
    assert reply.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert isinstance(reply.parsed, models.ErrorReply)
    assert (reply.parsed.error.code, reply.parsed.error.param) == ("invalid_field", "query")
    missing = made("api.ingest.get_job").sync_detailed("job_" + "0" * 32, client=client)
    assert missing.status_code == HTTPStatus.NOT_FOUND
    assert isinstance(missing.parsed, models.ErrorReply)


def test_a_search_key_searches_and_does_nothing_else(made, guarded):
    models = made("models")
    found = made("api.search.search").sync(client=guarded, body=models.SearchRequest(query="a pet"))
    assert isinstance(found, (models.SearchReply, models.ErrorReply))
    assert not isinstance(found, models.ErrorReply) or found.error.code == "collection_not_found"
    refused = made("api.ingest.ingest").sync_detailed(
        client=guarded, body=models.IngestRequest(documents=[models.DocumentInput(text="a")])
    )
    assert refused.status_code == HTTPStatus.FORBIDDEN
    assert refused.parsed.error.code == "forbidden"


def test_without_a_key_a_gateway_with_access_control_refuses(made):
    models = made("models")
    with made("client").Client(base_url=GUARDED_URL) as client:
        refused = made("api.search.search").sync_detailed(client=client, body=models.SearchRequest(query="a pet"))
        assert refused.status_code == HTTPStatus.UNAUTHORIZED
        assert refused.parsed.error.code == "unauthorized"
        assert made("api.service.ready").sync_detailed(client=client).status_code == HTTPStatus.OK
