"""Read, create and change collections."""

import dataclasses
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tandem_contract.decoding import cut
from tandem_contract.embed import MIN_PASSAGE_TOKENS
from tandem_gateway.analysis.terms import LANGUAGES
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, NotFound, NotReady
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.filters import FilterIndex
from tandem_gateway.ports.search import LexicalIndex
from tandem_gateway.ports.sizes import IndexSizes, StoredSizes
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.chunking import Chunking
from tandem_gateway.records.documents import CollectionChange, CollectionRecord
from tandem_gateway.records.engines import ENGINES, OWN_ENGINE
from tandem_gateway.records.sizes import CollectionSizes, IndexPosition
from tandem_gateway.use_cases.validation import check_collection

MAX_PASSAGE_TOKENS: Final = 65_536
"""Highest ``chunking.max_tokens``, whatever the model."""


@dataclass(frozen=True, slots=True)
class SizeSources:
    """Tell what the store holds of a collection, and what both indexes hold of it in memory."""

    stored: StoredSizes
    index: IndexSizes
    lexical: LexicalIndex


class Collections:
    """Access to collections by name; calls ``on_changed`` after each change."""

    def __init__(
        self,
        catalogue: Catalogue,
        on_changed: Callable[[], None],
        *,
        model_tokens: Callable[[], int | None],
        filters: FilterIndex,
        waiting: Callable[[str], Awaitable[Keys]],
        timeout: float,
        sizes: SizeSources,
        engines: Sequence[str] = (OWN_ENGINE,),
    ) -> None:
        """Make the use case.

        Args:
            catalogue: the collections.
            on_changed: called after each change.
            model_tokens: returns how many tokens the embedders' model reads of a text; None if that is not known.
            filters: finds the documents that match a filter.
            waiting: see ``DocumentStore.waiting``.
            timeout: maximum seconds for the count of a collection's documents, and for the size of its index.
            sizes: tell what the store and the indexes hold of a collection.
            engines: names of the vector engines that a collection may have.
        """
        self._sizes = sizes
        self._engines = engines
        self._filters = filters
        self._waiting = waiting
        self._timeout = timeout
        self._catalogue = catalogue
        self._on_changed = on_changed
        self._model_tokens = model_tokens

    async def collection(self, name: str) -> CollectionRecord:
        """Return a collection.

        Raises:
            InvalidRequest: the name is not valid.
            NotFound: there is no such collection.
        """
        check_collection(name)
        for record in await self._catalogue.collections():
            if record.name == name:
                return record
        raise NotFound(f"collection: there is no collection {name!r}", param="collection")

    async def counted(self, record: CollectionRecord, condition: Filter) -> CollectionRecord:
        """Return a collection that counts the versions of documents that match a filter, and no others.

        Raises:
            NotFound: the collection was deleted meanwhile.
            NotReady: the metadata was not read in time; a repetition goes on.
            Overloaded, StorageError: the documents cannot be counted now.
        """
        if not record.live + record.pending:
            return record
        waiting = await self._waiting(record.name)
        matching = await self._filters.matching(record.name, condition, timeout=self._timeout)
        pending = int(np.isin(waiting, matching, assume_unique=True).sum()) if len(waiting) else 0
        return dataclasses.replace(record, live=len(matching) - pending, pending=pending)

    async def sizes(self, record: CollectionRecord) -> CollectionSizes:
        """Return the sizes of a collection; those are None that its index cannot tell now.

        Raises:
            StorageError: the store cannot be read.
        """
        known = True
        try:
            position = await self._sizes.index.size(record.name, timeout=self._timeout)
        except (NotReady, DeadlineExceeded):
            known, position = False, None
        # An index that does not exist yet has no removal to apply: it begins with what the store holds then.
        held = position or IndexPosition(0, 0, 0, sys.maxsize)
        stored = await self._sizes.stored.stored_size(record.name, held.added, held.removed)
        if stored is None:  # deleted meanwhile
            return CollectionSizes()
        if not known:
            return CollectionSizes(disk_bytes=stored.bytes, disk_bytes_estimated=stored.estimated)
        collection_id = record.collection_id
        memory = held.bytes + self._filters.bytes_of(collection_id) + self._sizes.lexical.bytes_of(collection_id)
        return CollectionSizes(held.passages, stored.bytes, stored.estimated, memory, stored.changes)

    async def put(self, name: str, change: CollectionChange) -> CollectionRecord:
        """Create a collection or change its settings, and return it.

        Raises:
            InvalidRequest: the name or a setting is not valid, or the limit on collections is reached.
            Conflict: the collection has documents, and cannot have these settings.
        """
        check_collection(name)
        if isinstance(change.chunking, Chunking):
            check_chunking(change.chunking, self._model_tokens())
        if change.language is not msgspec.UNSET:
            check_language(change.language)
        if change.engine is not msgspec.UNSET:
            check_engine(change.engine, self._engines)
        record = await self._catalogue.put_collection(name, change)
        self._on_changed()
        return record


def check_language(language: str) -> None:
    """Check the language of a collection.

    Raises:
        InvalidRequest: there is no stemmer for it.
    """
    if language not in LANGUAGES:
        raise InvalidRequest(
            f"language: one of {', '.join(LANGUAGES)} was expected, not {cut(language)}", param="language"
        )


def check_engine(engine: str, available: Sequence[str]) -> None:
    """Check the engine of a collection.

    Args:
        engine: the setting.
        available: names of the engines that this gateway is set up for.

    Raises:
        InvalidRequest: there is no such engine, or the gateway is not set up for it.
    """
    if engine in available:
        return
    told = f"engine: one of {', '.join(available)} was expected, not {cut(engine)}"
    if engine in ENGINES:
        told += "; this gateway is not set up for it"
    raise InvalidRequest(told, param="engine")


def check_chunking(chunking: Chunking, model_tokens: int | None) -> None:
    """Check how texts are to be split.

    Args:
        chunking: the setting.
        model_tokens: how many tokens the model reads of a text; None if that is not known.

    Raises:
        InvalidRequest: a number is beyond its limit.
    """
    limit = min(MAX_PASSAGE_TOKENS, model_tokens) if model_tokens is not None else MAX_PASSAGE_TOKENS
    _check_number("max_tokens", chunking.max_tokens, MIN_PASSAGE_TOKENS, limit)
    _check_number("overlap_tokens", chunking.overlap_tokens, 0, (chunking.max_tokens or limit) // 2)


def _check_number(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        param = f"chunking.{name}"
        raise InvalidRequest(
            f"{param}: a whole number from {least} to {most} was expected, not {value}",
            param=param,
            code="limit_exceeded",
        )
