"""What the stores decide alike about second spaces."""

from collections.abc import Sequence
from typing import Any, Final

from tandem_gateway.errors import Conflict, FingerprintMismatch, NotFound
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.reembedding import Reembedding, SecondSpace, SecondVectors, SpaceModel

SCANNED: Final = 2000
"""Maximum number of passages that one call of ``missing`` looks at."""


def check_start(record: CollectionRecord | None, name: str, target: SpaceModel, *, second: bool) -> None:
    """Check that a collection can get a second space.

    Args:
        record: the collection; None if there is none.
        name: its name.
        target: model of the second space.
        second: whether it has a second space already.

    Raises:
        NotFound, Conflict: see ``Reembeddings.start``.
    """
    if record is None:
        raise NotFound(f"collection: there is no collection {name!r}", param="collection")
    if second:
        raise Conflict(
            f"collection: {name!r} is being re-embedded already; DELETE its reembed first", param="collection"
        )
    if record.fingerprint is None:
        raise Conflict(f"collection: {name!r} has no vectors yet, so there is nothing to re-embed", param="collection")
    if record.fingerprint == target.fingerprint:
        raise Conflict(
            f"collection: {name!r} has vectors of model fingerprint {target.fingerprint}; the canary makes the same",
            param="collection",
        )


def check_switch(found: Reembedding | None, name: str, *, back: bool) -> Reembedding:
    """Check that a collection can switch to its second space, and return the space.

    Raises:
        NotFound, Conflict: see ``Reembeddings.switch``.
    """
    if found is None:
        raise NotFound(f"collection: {name!r} is not being re-embedded", param="collection")
    if found.space.switched != back:
        model = f"model fingerprint {found.space.serving.fingerprint}"
        raise Conflict(
            f"collection: {name!r} serves from the {'old' if back else 'new'} vectors already, of {model}",
            param="collection",
        )
    if not found.complete:
        raise Conflict(
            f"collection: {found.passages - found.embedded} of {found.passages} passages of {name!r} have no vector of "
            f"model fingerprint {found.space.target.fingerprint} yet",
            param="collection",
        )
    return found


def check_vectors(batch: SecondVectors) -> None:
    """Check that vectors are of the model of their space.

    Raises:
        FingerprintMismatch: they are not.
    """
    target = batch.space.target
    if (batch.fingerprint, int(batch.vectors.shape[1])) != (target.fingerprint, target.dim):
        raise FingerprintMismatch(batch.space.collection, pinned=target.fingerprint, offered=batch.fingerprint)


def spread(count: int, among: Sequence[int]) -> list[int]:
    """Return up to ``count`` of the values, spread evenly, in order; all if there are no more."""
    if len(among) <= count:
        return list(among)
    return [among[place * len(among) // count] for place in range(count)]


def second_space(*columns: Any) -> SecondSpace:
    """Return the second space of a row of both stores.

    Args:
        columns: the collection and its name; the second space with its model, fingerprint and dim; and the same of the
            serving space.
    """
    collection_id, name, second_id, *second, serving_id, model, fingerprint, dim = columns
    serving = SpaceModel(model, fingerprint, dim)
    return SecondSpace(collection_id, name, second_id, SpaceModel(*second), serving_id, serving)
