"""The methods of both clients against a real gateway."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_client import (
    AsyncClient,
    ChunkingSetting,
    Client,
    Conflict,
    Forbidden,
    FusionInput,
    FusionWeights,
    InvalidRequest,
    JobStalled,
    NotConnected,
    NotFound,
    RerankInput,
    SearchRequest,
    TandemError,
    Unauthorized,
)
from tests.client.scripted_server import ScriptedServer, job, reply
from tests.support.certificates import Authority
from tests.support.stack import Stack, gateway_process, wait_until

PETS = [
    {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"page": 1, "tags": ["pets"]}},
    {"id": "rug", "text": "A dog sleeps on the rug.", "metadata": {"page": 2}},
    {"id": "tea", "text": "Steep the leaves for three minutes.", "metadata": {"page": 3}},
]
ADMIN_KEY = "a-key-from-outside-of-32-characters"


@pytest.fixture
def pets(client: Client, collection: str) -> str:
    """A collection with three documents."""
    report = client.ingest(PETS, collection=collection, wait=True)
    assert (report.accepted, report.pending, report.failures) == (3, 0, [])
    return collection


@pytest.fixture(scope="module")
def guarded(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a gateway with TLS and access control."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "ca")
    files = authority.server_files()
    process, plain = gateway_process(
        folder,
        folder / "data",
        stack.embedder_url,
        env={
            "TANDEM_API_KEY": ADMIN_KEY,
            "TANDEM_TLS_CERT_FILE": str(files.certificate),
            "TANDEM_TLS_KEY_FILE": str(files.key),
        },
    )
    process.ready = lambda http: None
    url = plain.url.replace("http://127.0.0.1", "https://localhost")
    plain.close()
    with process, Client(url, ADMIN_KEY, verify=authority.file) as client:
        wait_until(lambda: serves(client), "the gateway with TLS is ready")
        yield client


def serves(client: Client) -> bool:
    try:
        return client.health().model_loaded
    except TandemError:
        return False


def test_a_search_finds_with_all_its_fields(client: Client, pets: str) -> None:
    reply = client.search(
        "a pet on a rug",
        collection=pets,
        top_k=2,
        mode="hybrid",
        filter={"page": {"$lt": 3}},
        rerank=2,
        highlight=True,
        include=["vector"],
        explain=True,
        consistency="session",
        fusion="rrf",
    )
    assert {hit.id for hit in reply.results} == {"mat", "rug"}
    hit = reply.results[0]
    assert hit.metadata["page"] in (1, 2)
    assert hit.vector is not None
    assert len(hit.vector) == 384
    assert hit.explain is not None
    assert hit.highlights is not None
    assert reply.explain is not None
    assert reply.reranked is True
    assert client.position is not None
    other = client.search(
        "a pet on a rug",
        collection=pets,
        offset=1,
        min_score=-1,
        diversity=0.3,
        group_by="page",
        exclude=["text", "metadata", "passage"],
        fusion=FusionInput("relative", FusionWeights(1, 2)),
        rerank=RerankInput(3),
    )
    assert len(other.results) == 2
    assert all((hit.text, hit.metadata, hit.passage) == ("", {}, None) for hit in other.results)


async def test_the_asynchronous_client_has_the_same_methods(async_client: AsyncClient, pets: str) -> None:
    replies = await asyncio.gather(*(async_client.search("a hot drink", collection=pets, top_k=1) for _ in range(20)))
    assert {reply.results[0].id for reply in replies} == {"tea"}
    assert [document.id async for document in async_client.documents(collection=pets, limit=2)] == ["mat", "rug", "tea"]
    begun = await async_client.ingest_batch(["one more"], collection=pets)
    states = [state.status async for state in async_client.follow_job(begun.job_id)]
    assert states[-1] == "completed"
    assert (await async_client.wait_job(begun.job_id)).processed_documents == 1
    with pytest.raises(NotFound):
        [state async for state in async_client.follow_job("job_" + "0" * 32)]


def test_other_searches(client: Client, pets: str) -> None:
    found = client.search_batch(
        [SearchRequest("a cat", collection=pets, top_k=1), SearchRequest("tea", collection=pets)]
    )
    assert [reply.results[0].id for reply in found.replies] == ["mat", "tea"]
    near = client.search_similar("mat", collection=pets, top_k=1, filter={"page": {"$gt": 1}}, exclude=["text"])
    assert [hit.id for hit in near.results] == ["rug"]
    (vector,) = client.embed(["The cat sat on the mat."], input_type="document")
    assert client.search_similar(vector=vector, collection=pets).results[0].id == "mat"
    facets = client.facets(["page", "tags"], collection=pets, filter={"page": {"$lt": 3}})
    assert (facets.documents, facets.facets["tags"].values[0].value) == (2, "pets")
    assert [found.index for found in client.rerank("a cat", ["Steep the leaves.", "A cat sat."], top_n=1).results] == [
        1
    ]


def test_documents_are_read_changed_and_deleted(client: Client, pets: str) -> None:
    document = client.get_document("mat", collection=pets)
    assert (document.text, document.metadata, document.embedded) == (PETS[0]["text"], PETS[0]["metadata"], True)
    assert client.patch_document("mat", {"tags": None, "page": 9}, collection=pets).metadata == {"page": 9}
    some = client.get_documents(["tea", "gone", "mat"], collection=pets)
    assert ([document.id for document in some.documents], some.missing) == (["tea", "mat"], ["gone"])
    assert [document.id for document in client.documents(collection=pets, filter={"page": 9})] == ["mat"]
    page = client.documents_page(collection=pets, limit=2)
    assert (len(page.documents), page.next_cursor is None) == (2, False)
    assert client.delete_document("mat", collection=pets) is True
    assert client.delete_document("mat", collection=pets) is False
    assert client.delete_documents(filter={"page": 2}, collection=pets) == 1
    assert client.delete_documents(["tea", "gone"], collection=pets) == 1
    assert list(client.documents(collection=pets)) == []
    with pytest.raises(NotFound) as caught:
        client.get_document("gone", collection=pets)
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert caught.value.request_id


def test_an_id_may_have_slashes_and_signs(client: Client, collection: str) -> None:
    name = "a/b c?d#e%2F&ü"
    client.ingest([{"id": name, "text": "words"}], collection=collection, wait=True)
    assert client.get_document(name, collection=collection).id == name
    assert client.patch_document(name, {"x": 1}, collection=collection).metadata == {"x": 1}
    assert client.delete_document(name, collection=collection)


def test_a_source_is_compared(client: Client, collection: str) -> None:
    client.ingest([{"id": "a", "text": "a", "source": "wiki", "hash": "v1"}], collection=collection, wait=True)
    reply = client.compare_source("wiki", {"a": "v2", "b": "v1"}, collection=collection)
    assert (reply.missing, reply.changed, reply.deleted_documents) == (["b"], ["a"], 0)
    assert client.compare_source("wiki", [], collection=collection).deleted_documents == 1


def test_files_are_ingested(client: Client, collection: str, tmp_path: Path) -> None:
    file = tmp_path / "tea.md"
    file.write_text("# Tea\n\nSteep the leaves.\n")
    begun = client.ingest_files([file, ("note.txt", b"A note."), ("bad.csv", b"x\n1\n")], collection=collection)
    assert [(file.name, file.documents, file.error is None) for file in begun.files] == [
        ("tea.md", 1, True),
        ("note.txt", 1, True),
        ("bad.csv", 0, False),
    ]
    assert client.wait_job(begun.job_id).status == "completed"


def test_jobs_are_listed_followed_and_refused(client: Client, collection: str) -> None:
    begun = client.ingest_batch(["a", "b", ""], collection=collection, on_error="skip")
    assert begun.document_ids is not None
    assert (len(begun.document_ids), begun.skipped_documents) == (2, 1)
    states = list(client.follow_job(begun.job_id))
    assert (states[-1].status, states[-1].processed_documents) == ("completed", 2)
    assert client.get_job(begun.job_id, wait_seconds=1).status == "completed"
    assert [one.job_id for one in client.jobs(collection=collection)] == [begun.job_id]
    assert sorted(one.status for one in client.job_documents(begun.job_id, limit=1)) == [
        "embedded",
        "embedded",
        "skipped",
    ]
    assert client.cancel_job(begun.job_id).status == "completed"
    with pytest.raises(Conflict):
        client.retry_job(begun.job_id)
    with pytest.raises(NotFound):
        list(client.follow_job("job_" + "0" * 32))


def test_the_same_key_is_the_same_ingest(client: Client, collection: str) -> None:
    key = f"key of {collection}".replace(" ", "-")
    first = client.ingest_batch(["a"], collection=collection, idempotency_key=key)
    assert client.ingest_batch(["a"], collection=collection, idempotency_key=key).job_id == first.job_id
    with pytest.raises(Conflict):
        client.ingest_batch(["b"], collection=collection, idempotency_key=key)


def test_collections_are_made_changed_and_deleted(client: Client, collection: str) -> None:
    made = client.put_collection(collection, chunking=ChunkingSetting(64, 8), language="german")
    assert (made.chunking, made.language) == (ChunkingSetting(64, 8), "german")
    assert client.put_collection(collection, chunking=None).chunking is None
    assert client.get_collection(collection).passages == 0
    assert collection in [one.name for one in client.collections()]
    with pytest.raises(Conflict):
        client.start_reembedding(collection)
    with pytest.raises(NotFound):
        client.get_reembedding(collection)
    assert client.drop_reembedding(collection) is False
    assert client.delete_collection(collection) is True
    assert client.delete_collection(collection) is False


def test_the_service_tells_of_itself(client: Client) -> None:
    assert client.about().service == "tandem-gateway"
    assert client.ready().status == "ready"
    health = client.health()
    assert (health.status, health.model_loaded) == ("ok", True)
    assert client.models()[0].id
    assert "tandem_gateway_" in client.metrics()
    assert client.openapi()["openapi"].startswith("3.1")
    with pytest.raises(NotFound):
        client.traffic()


def test_an_error_names_the_field(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.search("x", top_k=0)
    assert (caught.value.status, caught.value.code, caught.value.field) == (422, "limit_exceeded", "top_k")
    assert "from 1 to 1000" in str(caught.value)


def test_a_wait_may_have_an_end() -> None:
    with ScriptedServer(reply(200, job("running", error="it waits"))) as server, Client(server.url) as client:
        with pytest.raises(JobStalled, match=r"job_1 did not end in 0\.01 s: it waits; its documents are stored"):
            client.wait_job("job_1", timeout=0.01)
        assert server.requests[0].target == "/v1/jobs/job_1?wait_seconds=1"


def test_keys_over_tls(guarded: Client) -> None:
    key = guarded.create_key("shop", "search", collections=["shop-*"], limits=["requests=1000/minute"])
    listed = guarded.keys()
    assert [one.name for one in listed] == ["shop"]
    url, trusted = guarded.settings.url, guarded.settings.verify
    with Client(url, key.key, verify=trusted) as shop:
        assert shop.collections() == []
        with pytest.raises(Forbidden):
            shop.search("x", collection="other")
        new = guarded.rotate_key(key.id, grace_seconds=0)
        with pytest.raises(Unauthorized):
            shop.collections()
    assert new.key != key.key
    assert guarded.revoke_key(key.id).revoked_at is not None
    assert {one.key for one in guarded.usage(key=key.id)} <= {key.id}
    assert guarded.traffic().canary is None
    with pytest.raises(InvalidRequest, match="TANDEM_CANARY_URL"):
        guarded.set_traffic(10)


def test_a_certificate_of_another_authority_is_refused(guarded: Client, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with (
        Client(guarded.settings.url, ADMIN_KEY, verify=other.file, retries=0) as client,
        pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.health()
    with Client(guarded.settings.url, ADMIN_KEY, verify=False) as client:
        assert client.health().model_loaded
