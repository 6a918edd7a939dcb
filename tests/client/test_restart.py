"""A gateway is killed in the middle of a bulk ingest and starts again: no document is lost, and none is there twice."""

import threading
from collections.abc import Iterator

from tandem_client import Client
from tests.support.stack import Stack

DOCUMENTS = 300


def test_a_killed_gateway_loses_and_doubles_nothing(stack: Stack, client: Client, collection: str) -> None:
    half, again = threading.Event(), threading.Event()

    def documents() -> Iterator[str]:
        # Without ids: a batch that was stored twice would be there twice.
        for number in range(DOCUMENTS):
            if number == DOCUMENTS // 2:
                half.set()
            yield f"The number {number}."

    def restart() -> None:
        half.wait(60)
        stack.gateway.kill()
        stack.gateway.start()
        stack.gateway.wait_ready()
        again.set()

    thread = threading.Thread(target=restart)
    thread.start()
    report = client.ingest(documents(), collection=collection, wait=True, batch_documents=20, concurrency=3)
    thread.join()
    assert again.is_set()
    assert (report.accepted, report.failed, report.pending, report.failures) == (DOCUMENTS, 0, 0, [])
    texts = [document.text for document in client.documents(collection=collection, limit=1000)]
    assert sorted(texts) == sorted(f"The number {number}." for number in range(DOCUMENTS))
