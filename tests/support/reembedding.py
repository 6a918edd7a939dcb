"""A second space, filled with the vectors of another model."""

from collections.abc import Sequence
from typing import Any

from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import PendingPassage
from tandem_gateway.records.reembedding import Reembedding, SecondSpace, SecondVectors, SpaceModel
from tests.support.fakes import DIM, vectors_of

NEW_DIM = 6
NEW = SpaceModel("another-model", "e" * 32, NEW_DIM)
"""The other model; its vector of a text is ``vectors_of(text, NEW_DIM)``."""


SAME_SIZE = SpaceModel("a-model-of-the-same-size", "c" * 32, DIM)
"""Another model, with vectors as long as those of ``fakes.MODEL``."""


def text_of(text: str, model: SpaceModel) -> str:
    """Return the text whose vector ``fakes.vectors_of`` returns as a model's vector of ``text``."""
    return f"same size: {text}" if model == SAME_SIZE else text


def second_vectors(
    space: SecondSpace, passages: Sequence[PendingPassage], coverages: Sequence[Coverage] = ()
) -> SecondVectors:
    """Return vectors of the space's model for passages."""
    vectors = vectors_of([text_of(each.text, space.target) for each in passages], space.target.dim)
    ids = [each.passage_id for each in passages]
    return SecondVectors(space, ids, vectors, space.target.fingerprint, coverages)


async def fill_second(store: Any, collection: str = "default", limit: int = 3) -> Reembedding:
    """Give every live passage a vector in the second space, and return its state."""
    found = await store.reembeddings.reembedding(collection)
    assert found is not None
    after = 0
    while True:
        page = await store.reembeddings.missing(found.space, after, limit)
        if page.passages:
            await store.reembeddings.add(second_vectors(found.space, page.passages))
        after = page.after
        if page.complete:
            filled = await store.reembeddings.reembedding(collection)
            assert filled is not None
            return filled
