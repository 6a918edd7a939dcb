"""The second space of a collection, which is filled with vectors of another model while the first one serves."""

from typing import Protocol

from tandem_gateway.records.reembedding import (
    MissingPage,
    Reembedding,
    SampledPassage,
    SecondSpace,
    SecondVectors,
    SpaceModel,
)


class Reembeddings(Protocol):
    """Starts, fills, switches and drops second spaces. A write is on disk when its method returns.

    A collection has at most one second space. The passages are the same in both spaces. A document that is replaced or
    deleted loses its vectors in both.

    Every method may raise StorageUnavailable and StorageCorrupt. The methods that write may also raise Overloaded and
    DeadlineExceeded; after DeadlineExceeded the write may still take effect.
    """

    async def start(self, collection: str, target: SpaceModel) -> Reembedding:
        """Give a collection an empty second space.

        Raises:
            NotFound: there is no such collection.
            Conflict: it has a second space already, or no vector yet, or the same model.
        """
        ...

    async def reembedding(self, collection: str) -> Reembedding | None:
        """Return a collection's second space; None if it has none or does not exist."""
        ...

    async def spaces(self) -> list[SecondSpace]:
        """Return the second spaces of all collections."""
        ...

    async def missing(self, space: SecondSpace, after: int, limit: int) -> MissingPage:
        """Return live passages without a vector in the second space, with their texts.

        The page looks at a bounded number of passages, and ends before the texts exceed the body size that an embedder
        accepts. A passage that goes live later has a higher change number. A passage of a damaged document comes
        without its text.

        Args:
            space: a second space that ``spaces`` returned; if the collection's spaces are others by now, the page is
                empty and complete.
            after: return passages with higher change numbers in the serving space.
            limit: maximum number of passages.
        """
        ...

    async def add(self, batch: SecondVectors) -> int:
        """Store vectors in the second space, and return how many.

        Passages that are gone, or have a vector there, are skipped; so are all if the spaces are others by now.

        Raises:
            FingerprintMismatch: the vectors are of another model than the space.
        """
        ...

    async def switch(self, collection: str, *, back: bool = False) -> Reembedding:
        """Let the spaces change roles in one commit: the collection serves from the second one from now on.

        Documents that are not live yet wait for vectors of the new model.

        Args:
            collection: name of the collection.
            back: whether to return to the older space; otherwise to go on to the newer one.

        Raises:
            NotFound: the collection has no second space.
            Conflict: it serves from that space already, or a live passage has no vector in it.
        """
        ...

    async def drop(self, collection: str) -> bool:
        """Drop the second space, and return whether there was one. The store may remove its vectors later."""
        ...

    async def sample(self, collection: str, count: int) -> list[SampledPassage]:
        """Return first passages of live documents with vectors in both spaces, spread evenly over the collection.

        Args:
            collection: name of the collection.
            count: maximum number of passages, at least 1.
        """
        ...
