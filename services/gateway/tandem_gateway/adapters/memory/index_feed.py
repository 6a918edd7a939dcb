"""Implements the feed of the indexes on a store in memory."""

import contextlib
import dataclasses
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from tandem_gateway.adapters.memory.collection import Collection, Version
from tandem_gateway.adapters.memory.content import Content
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.ports.passages import NO_METADATA
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import Changes, Spaces
from tandem_gateway.records.search import FirstPassage, PassageView
from tandem_gateway.records.texts import Removals, RemovedPassage
from tandem_runtime.memory import utf8_bytes


class MemoryIndexFeed:
    """Implements ``IndexFeed`` and ``MetadataLog``; any thread may use it."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def version(self) -> int:
        """Return the number of writes so far."""
        return self._content.version

    def store_id(self) -> str:
        """Return the store's random id."""
        return self._content.store_id

    def collections(self) -> list[CollectionRecord]:
        """Return every collection."""
        with self._content.lock:
            return [each.record() for _, each in sorted(self._content.collections.items())]

    def spaces(self) -> Spaces:
        """Return the spaces of all collections; see ``ChangeLog.spaces``."""
        with self._content.lock:
            collections = [each for _, each in sorted(self._content.collections.items())]
            second_spaces = [
                dataclasses.replace(
                    each.record(),
                    space_id=second.space_id,
                    fingerprint=second.model.fingerprint,
                    model=second.model.model,
                    dim=second.model.dim,
                )
                for each in collections
                if (second := each.second) is not None
            ]
            return Spaces([each.record() for each in collections], second_spaces)

    def catalogue(self) -> int:
        """Return the version of the catalogue; see ``ChangeLog.catalogue``."""
        return self._content.catalogue

    def last_change(self) -> int:
        """Return the number of the last change."""
        return self._content.change

    def changed_spaces(self, after: int) -> list[int]:
        """Return the spaces that have changed; see ``ChangeLog.changed_spaces``."""
        with self._content.lock:
            return [
                space_id
                for each in self._content.collections.values()
                if each.last_change > after
                for space_id in (each.space_id, *((each.second.space_id,) if each.second is not None else ()))
            ]

    def changes(self, collection: CollectionRecord, *, after: int, removals_after: int, limit: int) -> Changes | None:
        """Return changes; see ``ChangeLog.changes``."""
        assert collection.dim is not None
        with self._content.lock:
            found = self._of_space(collection.space_id) or _GONE
            if removals_after < found.removal_floor:
                return None
            additions = [
                (vector.change, passage.passage_id, version.passages[0].passage_id, vector.vector)
                for version, passage, vector in found.indexed(collection.space_id)
                if vector.change > after
            ]
            additions = sorted(additions)[:limit]
            complete = len(additions) < limit
            upto = self._content.change if complete else additions[-1][0]
            removed = [gone for change, gone in found.removals.items() if removals_after < change <= upto]
        vectors = np.frombuffer(b"".join(vector for *_, vector in additions), dtype="<f4")
        return Changes(
            upto=upto,
            removed=np.array(removed, dtype=np.uint64),
            added=np.array([passage_id for _, passage_id, *_ in additions], dtype=np.uint64),
            firsts=np.array([first for _, _, first, _ in additions], dtype=np.uint64),
            vectors=vectors.reshape(len(additions), collection.dim).astype(np.float32, copy=False),
            complete=complete,
        )

    def vectors(self, space_id: int, passage_ids: Sequence[int]) -> dict[int, bytes]:
        """Return vectors; see ``ChangeLog.vectors``."""
        wanted = set(passage_ids)
        with self._content.lock:
            found = self._of_space(space_id) or _GONE
            return {
                passage.passage_id: vector.vector
                for _, passage, vector in found.indexed(space_id)
                if passage.passage_id in wanted
            }

    def vectors_after(self, space_id: int, change: int) -> int:
        """Return how many vectors have a higher change number; see ``ChangeLog.vectors_after``."""
        with self._content.lock:
            found = self._of_space(space_id) or _GONE
            return sum(vector.change > change for *_, vector in found.indexed(space_id))

    def later_passages(self, space_id: int) -> tuple[Keys, Keys]:
        """Return the passages after the first of their document; see ``ChangeLog.later_passages``."""
        with self._content.lock:
            found = self._of_space(space_id) or _GONE
            pairs = [
                (passage.passage_id, version.passages[0].passage_id)
                for version in (*found.live.values(), *found.pending.values())
                for passage in version.passages[1:]
            ]
        both = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def passage_ids(self, space_id: int) -> Keys:
        """Return the ids of the passages in a space's index."""
        with self._content.lock:
            found = self._of_space(space_id) or _GONE
            return np.array([passage.passage_id for _, passage, _ in found.indexed(space_id)], dtype=np.uint64)

    def passages(
        self, passage_ids: Sequence[int], max_bytes: int | None = None, *, texts: bool = True, metadata: bool = True
    ) -> dict[int, PassageView]:
        """Return passages with their documents; see ``PassageReader.passages``."""
        wanted = set(passage_ids)
        with self._content.lock:
            found = {
                passage.passage_id: PassageView(
                    passage.passage_id,
                    version.document.doc_id,
                    version.document.text if texts else "",
                    version.document.metadata if metadata else NO_METADATA,
                    int(each.live.get(version.document.doc_id) is version),
                    _passages_of(version) if texts else None,
                    int(version.document.format == "markdown"),
                )
                for each in self._content.collections.values()
                for version in (*each.live.values(), *each.pending.values())
                for passage in version.passages
                if passage.passage_id in wanted
            }
        taken = sum(utf8_bytes(each.text) + utf8_bytes(each.metadata) for each in found.values())
        if max_bytes is not None and taken > max_bytes:
            raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
        return found

    def first_passage(self, collection_id: int, doc_id: str) -> FirstPassage | None:
        """Return the first passage of a document; see ``IndexFeed.first_passage``."""
        with self._content.lock:
            for each in self._content.collections.values():
                version = each.live.get(doc_id) or each.pending.get(doc_id)
                if each.collection_id == collection_id and version is not None:
                    return FirstPassage(version.passages[0].passage_id, doc_id in each.live)
        return None

    def reading(self) -> AbstractContextManager[None]:
        """Return a context for several calls; see ``MetadataLog.reading``. A test writes nothing between them."""
        return contextlib.nullcontext()

    def collection(self, name: str) -> CollectionRecord | None:
        """Return the collection with this name, if there is one."""
        with self._content.lock:
            found = self._content.collections.get(name)
            return found.record() if found is not None else None

    def last_passage(self) -> int:
        """Return the highest passage id that was ever given."""
        return self._content.passages_made

    def metadata(self, collection_id: int, after: int, upto: int) -> list[tuple[int, str]]:
        """Return a collection's documents with their metadata; see ``MetadataLog.metadata``."""
        with self._content.lock:
            return sorted(
                (version.passages[0].passage_id, version.document.metadata)
                for each in self._content.collections.values()
                if each.collection_id == collection_id
                for version in (*each.live.values(), *each.pending.values())
                if after < version.passages[0].passage_id <= upto
            )

    def removals(self, collection_id: int, *, after: int, limit: int) -> Removals:
        """Return the removals of a collection; see ``MetadataLog.removals``."""
        with self._content.lock:
            found = next(
                (each for each in self._content.collections.values() if each.collection_id == collection_id), _GONE
            )
            later = sorted((change, gone) for change, gone in found.removals.items() if change > after)[:limit]
            return Removals([RemovedPassage(gone, change) for change, gone in later], after >= found.removal_floor)

    def close(self) -> None:
        """Do nothing: the feed has no resources of its own."""

    def _of_space(self, space_id: int) -> Collection | None:
        for each in self._content.collections.values():
            if space_id == each.space_id or (each.second is not None and space_id == each.second.space_id):
                return each
        return None


def _passages_of(version: Version) -> "array[int] | None":
    """Return passages as ``PassageView.passages`` has them."""
    if version.passages[0].stop is None:
        return None
    length = len(version.document.text)
    return array(
        "Q",
        (
            number
            for each in version.passages
            for number in (each.passage_id, each.start, length if each.stop is None else each.stop)
        ),
    )


_GONE = Collection(0, "", 0)
"""Stands for a deleted collection, which has no changes."""
