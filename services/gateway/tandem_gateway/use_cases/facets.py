"""Facets: how many documents have each value of a field."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, NotFound, StorageCorrupt
from tandem_gateway.filters.matching import decode_metadata, matches, value_at
from tandem_gateway.filters.parsing import MAX_FIELD_CHARS
from tandem_gateway.filters.tree import Filter, Key, Scalar, key_of
from tandem_gateway.ports.documents import DocumentStore
from tandem_gateway.use_cases.validation import check_collection
from tandem_runtime.durations import duration
from tandem_runtime.memory import memory_bytes, utf8_bytes

MAX_FIELDS: Final = 20
"""Maximum number of fields in one request."""
MAX_VALUES: Final = 1000
"""Maximum number of values of a field in a reply."""
MAX_DIFFERENT: Final = 200_000
"""Maximum number of different values of all fields that are counted."""
# Estimated size of Python's objects around a value and its count.
_ENTRY_BYTES: Final = 300
# A thread sorts more values, because it would hold the event loop for more than a few milliseconds.
_SORTED_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of a field with their documents, and how often other values occur."""

    values: list[tuple[Scalar, int]]
    others: int


class Facets:
    """Counts the newest versions of a collection's documents by the values of fields."""

    def __init__(
        self,
        documents: DocumentStore,
        *,
        timeout: float,
        answer_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the use case.

        Args:
            documents: the documents.
            timeout: maximum seconds for one request.
            answer_bytes: maximum size in UTF-8 of the different values of one request.
            clock: returns seconds and never goes back.
        """
        self._documents = documents
        self._timeout = timeout
        self._answer_bytes = answer_bytes
        self._clock = clock

    async def count(
        self,
        collection: str,
        fields: Sequence[str],
        condition: Filter,
        limit: int,
        hold: Callable[[int], None] = lambda held: None,
    ) -> tuple[int, dict[str, Facet]]:
        """Return the number of documents that match a filter, and the facet of each field.

        Args:
            collection: name of the collection.
            fields: fields of metadata.
            condition: the filter.
            limit: maximum number of values of a field.
            hold: called with the number of bytes of memory that the values take so far; may raise OverBudget.

        Raises:
            InvalidRequest: an argument is not valid, or the fields have too many different values, or too large ones.
            NotFound: the collection does not exist.
            DeadlineExceeded: it took too long.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        check_collection(collection)
        _check(fields, limit)
        end = self._clock() + self._timeout
        counts: dict[str, Counter[Key]] = {field: Counter() for field in fields}
        documents = 0
        size = _Size()
        after: str | None = ""
        while after is not None:
            if self._clock() >= end:
                raise DeadlineExceeded(f"the documents were not counted within {duration(self._timeout)}")
            page = await self._documents.metadata(collection, after)
            if page is None:
                raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
            documents += await asyncio.to_thread(_count_page, page.metadata, condition, counts, size)
            different = sum(map(len, counts.values()))
            if different > MAX_DIFFERENT:
                raise InvalidRequest(
                    f"fields: they have more than {MAX_DIFFERENT} different values; ask for fewer fields, or use a "
                    "filter",
                    param="fields",
                    code="limit_exceeded",
                )
            if size.written > self._answer_bytes:
                raise InvalidRequest(
                    f"fields: their different values have more than {self._answer_bytes} bytes, which is the limit of "
                    "an answer (TANDEM_MAX_ANSWER_BYTES); ask for fewer fields, or use a filter",
                    param="fields",
                    code="limit_exceeded",
                )
            hold(size.memory + _ENTRY_BYTES * different)
            after = page.after
        if sum(map(len, counts.values())) <= _SORTED_AT_ONCE:
            return documents, _facets(counts, limit)
        return documents, await asyncio.to_thread(_facets, counts, limit)


@dataclass(slots=True)
class _Size:
    """Size of the different values of a request in bytes: in UTF-8, and the memory that they take."""

    written: int = 0
    memory: int = 0

    def add(self, value: Scalar) -> None:
        text = value if isinstance(value, str) else str(value)
        self.written += utf8_bytes(text)
        self.memory += memory_bytes(text)


def _facets(counts: Mapping[str, Counter[Key]], limit: int) -> dict[str, Facet]:
    return {field: facet(counted, limit) for field, counted in counts.items()}


def facet(counts: Counter[Key], limit: int) -> Facet:
    """Return the facet of a field's counts; equal counts keep their order."""
    first = counts.most_common(limit)
    return Facet([(value, count) for (_, value), count in first], counts.total() - sum(count for _, count in first))


def _count_document(metadata: Mapping[str, Any], counts: Mapping[str, Counter[Key]], size: _Size) -> None:
    """Count a document for each different value of each field; an element of a list is a value."""
    for field, counted in counts.items():
        found = value_at(metadata, field)
        keys = dict.fromkeys(map(key_of, found)) if isinstance(found, list) else [key_of(found)]
        for key in keys:
            if key is not None:
                if key not in counted:
                    size.add(key[1])
                counted[key] += 1


def _count_page(page: Sequence[str], condition: Filter, counts: Mapping[str, Counter[Key]], size: _Size) -> int:
    """Count the documents of a page that match, and return how many they are; add the size of new values."""
    matched = 0
    for text in page:
        try:
            metadata = decode_metadata(text)
        except msgspec.MsgspecError:
            raise StorageCorrupt(
                "documents: the metadata of a document is not what was written; run `python -m tandem_gateway verify`"
            ) from None
        if matches(condition, metadata):
            matched += 1
            _count_document(metadata, counts, size)
    return matched


def _check(fields: Sequence[str], limit: int) -> None:
    if not 1 <= len(fields) <= MAX_FIELDS:
        raise InvalidRequest(
            f"fields: 1 to {MAX_FIELDS} fields were expected, not {len(fields)}",
            param="fields",
            code="limit_exceeded" if fields else "invalid_field",
        )
    for place, field in enumerate(fields):
        if len(field) > MAX_FIELD_CHARS:
            raise InvalidRequest(
                f"fields[{place}]: at most {MAX_FIELD_CHARS} characters are allowed, not {len(field)}",
                param=f"fields[{place}]",
                code="limit_exceeded",
            )
    if not 1 <= limit <= MAX_VALUES:
        raise InvalidRequest(
            f"limit: a whole number from 1 to {MAX_VALUES} was expected, not {limit}",
            param="limit",
            code="limit_exceeded",
        )
