"""Implements second spaces on a store in memory."""

from tandem_gateway.adapters.batching import first_within
from tandem_gateway.adapters.memory.collection import Collection, IndexedVector, Second, follower_of
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.adapters.reembeddings import SCANNED, check_start, check_switch, check_vectors, spread
from tandem_gateway.records.documents import PendingPassage
from tandem_gateway.records.reembedding import (
    MissingPage,
    Reembedding,
    SampledPassage,
    SecondSpace,
    SecondVectors,
    SpaceModel,
)
from tandem_runtime.memory import utf8_bytes


class MemoryReembeddings:
    """Implements ``Reembeddings``."""

    def __init__(self, content: Content, *, batch_bytes: int) -> None:
        """Use a store; ``batch_bytes`` is the maximum UTF-8 bytes of the texts of a page, unless one is longer."""
        self._content = content
        self._batch_bytes = batch_bytes

    async def start(self, collection: str, target: SpaceModel) -> Reembedding:
        """Make a second space; see ``Reembeddings.start``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            record = found.record() if found is not None else None
            check_start(record, collection, target, second=found is not None and found.second is not None)
            assert found is not None
            found.second = Second(content.new_space(), target)
            found.followers[follower_of(found.second.space_id)] = content.change
            content.catalogue += 1
            content.version += 1
            return _reembedding(found, found.second)

    async def reembedding(self, collection: str) -> Reembedding | None:
        """Return a collection's second space; see ``Reembeddings.reembedding``."""
        with self._content.lock:
            found = self._content.collections.get(collection)
            return _reembedding(found, found.second) if found is not None and found.second is not None else None

    async def spaces(self) -> list[SecondSpace]:
        """Return all second spaces; see ``Reembeddings.spaces``."""
        with self._content.lock:
            return [_space(each, each.second) for _, each in sorted(self._content.collections.items()) if each.second]

    async def missing(self, space: SecondSpace, after: int, limit: int) -> MissingPage:
        """Return passages without a vector; see ``Reembeddings.missing``."""
        with self._content.lock:
            found = self._current(space)
            if found is None or found.second is None:
                return MissingPage([], after, complete=True)
            scanned = sorted(
                (vector.change, version.document.text[passage.start : passage.stop], passage.passage_id)
                for version, passage, vector in found.indexed(found.space_id)
                if vector.change > after
            )[:SCANNED]
            wanted = [each for each in scanned if each[2] not in found.second.vectors]
            fitting = first_within(wanted, lambda each: utf8_bytes(each[1]), self._batch_bytes)[:limit]
            passages = [PendingPassage(passage_id, text) for _, text, passage_id in fitting]
            if len(fitting) < len(wanted):
                return MissingPage(passages, wanted[len(fitting)][0] - 1, complete=False)
            return MissingPage(passages, scanned[-1][0] if scanned else after, complete=len(scanned) < SCANNED)

    async def add(self, batch: SecondVectors) -> int:
        """Store vectors; see ``Reembeddings.add``."""
        check_vectors(batch)
        content = self._content
        with content.lock:
            found = self._current(batch.space)
            if found is None or found.second is None:
                return 0
            live = {passage.passage_id for _, passage in found.live_passages()}
            added = 0
            for row, passage_id in enumerate(batch.passage_ids):
                if passage_id in live and passage_id not in found.second.vectors:
                    coverage = batch.coverages[row] if batch.coverages else None
                    found.second.vectors[passage_id] = IndexedVector(
                        batch.vectors[row].astype("<f4").tobytes(), coverage, content.next_change(found)
                    )
                    found.second.truncated += coverage is not None and coverage.truncated
                    added += 1
            content.version += 1
            return added

    async def switch(self, collection: str, *, back: bool = False) -> Reembedding:
        """Exchange the spaces; see ``Reembeddings.switch``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            second = found.second if found is not None else None
            state = _reembedding(found, second) if found is not None and second is not None else None
            check_switch(state, collection, back=back)
            assert found is not None
            assert second is not None
            found.exchange(second)
            content.catalogue += 1
            content.version += 1
            assert found.second is not None
            return _reembedding(found, found.second)

    async def drop(self, collection: str) -> bool:
        """Drop the second space; see ``Reembeddings.drop``."""
        content = self._content
        with content.lock:
            found = content.collections.get(collection)
            if found is None or found.second is None:
                return False
            del found.followers[follower_of(found.second.space_id)]
            found.second = None
            content.catalogue += 1
            content.version += 1
            return True

    async def sample(self, collection: str, count: int) -> list[SampledPassage]:
        """Return some first passages; see ``Reembeddings.sample``."""
        with self._content.lock:
            found = self._content.collections.get(collection)
            if found is None or found.second is None:
                return []
            there = sorted(
                (vector.change, passage.passage_id, passage.vector, vector.vector)
                for version, passage, vector in found.indexed(found.second.space_id)
                if passage is version.passages[0] and passage.vector is not None
            )
            return [
                SampledPassage(passage_id, serving, second)
                for _, passage_id, serving, second in (there[place] for place in spread(count, range(len(there))))
            ]

    def _current(self, space: SecondSpace) -> Collection | None:
        """Return a space's collection if its spaces have the roles that they had when ``space`` was read."""
        for each in self._content.collections.values():
            if each.second is not None and (each.second.space_id, each.space_id) == space.pair:
                return each
        return None


def _space(collection: Collection, second: Second) -> SecondSpace:
    assert collection.model is not None
    assert collection.fingerprint is not None
    assert collection.dim is not None
    serving = SpaceModel(collection.model, collection.fingerprint, collection.dim)
    return SecondSpace(
        collection.collection_id, collection.name, second.space_id, second.model, collection.space_id, serving
    )


def _reembedding(collection: Collection, second: Second) -> Reembedding:
    passages = sum(1 for _ in collection.live_passages())
    return Reembedding(_space(collection, second), passages, len(second.vectors), second.truncated)
