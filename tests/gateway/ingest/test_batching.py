"""Batches for the embedder have a limit in bytes, so that the embedder accepts their body."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.embed import EmbedRequest
from tandem_gateway.adapters.batching import first_within
from tandem_runtime.memory import utf8_bytes
from tests.gateway.ingest.work import working
from tests.support.fakes import FakeEmbedder
from tests.support.stores import document, opened


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 40))
def test_as_many_rows_as_fit_and_one_at_least(sizes: list[int], most: int):
    found = first_within(sizes, lambda size: size, most)
    assert found == sizes[: len(found)]
    assert bool(found) == bool(sizes)
    assert sum(found) <= most or len(found) == 1
    if len(found) < len(sizes):
        assert sum(sizes[: len(found) + 1]) > most


def test_no_row_is_read_behind_the_one_that_does_not_fit():
    read: list[int] = []

    def rows() -> Iterator[int]:
        for size in (3, 3, 3, 3):
            read.append(size)
            yield size

    assert first_within(rows(), lambda size: size, 7) == [3, 3]
    assert read == [3, 3, 3]


@given(st.text())
def test_the_bytes_of_a_text_are_those_of_its_utf8(text: str):
    assert utf8_bytes(text) == len(text.encode())


async def test_no_call_for_documents_has_a_larger_body(tmp_path: Path):
    with opened(tmp_path, batch_bytes=500) as store:
        embedder = FakeEmbedder()
        async with working(store, embedder, batch=8) as work:
            texts = ["\U0001f600" * 90, "a" * 90, "b" * 90, "\U0001f600" * 200, "c", "d"]
            documents = [document(str(number), text) for number, text in enumerate(texts)]
            await work.store.accept("job", "default", documents, 1.0)
            work.task.notify()
            await work.finished("job")
        bodies = [len(msgspec.msgpack.encode(EmbedRequest(call))) for call in embedder.calls if len(call) > 1]
        assert bodies
        assert max(bodies) < 500 + 100
        assert sorted(text for call in embedder.calls for text in call) == sorted(texts)
