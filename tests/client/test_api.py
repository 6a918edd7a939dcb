"""The methods of both clients against a real gateway."""

import pytest

from tandem_client import AsyncClient, Client, NotFound

PETS = [
    {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"page": 1, "tags": ["pets"]}},
    {"id": "rug", "text": "A dog sleeps on the rug.", "metadata": {"page": 2}},
    {"id": "tea", "text": "Steep the leaves for three minutes.", "metadata": {"page": 3}},
]


@pytest.fixture
def pets(client: Client, collection: str) -> str:
    """A collection with three documents."""
    report = client.ingest(PETS, collection=collection, wait=True)
    assert (report.accepted, report.pending, report.failures) == (3, 0, [])
    return collection


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
    assert reply.explain is not None
    assert reply.reranked is True
    assert client.position is not None


async def test_the_asynchronous_client_has_the_same_methods(async_client: AsyncClient, pets: str) -> None:
    reply = await async_client.search("a hot drink", collection=pets, top_k=1)
    assert [hit.id for hit in reply.results] == ["tea"]
    assert [document.id async for document in async_client.documents(collection=pets, limit=2)] == ["mat", "rug", "tea"]


def test_an_absent_document_is_an_error(client: Client, pets: str) -> None:
    with pytest.raises(NotFound) as caught:
        client.get_document("gone", collection=pets)
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert caught.value.request_id
