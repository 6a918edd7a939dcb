"""Decides which rows form a batch."""

import itertools
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from tandem_gateway.records.chunking import Split, TextFormat
from tandem_gateway.records.documents import CollectionRecord, PendingBatch, PendingPassage
from tandem_runtime.memory import utf8_bytes

SPLIT_BYTES: Final = 128 << 10
"""Maximum UTF-8 bytes of the texts that one call splits, unless one text is longer: about 30,000 tokens of English,
which an embedder without special instructions computes in a few seconds."""

R = TypeVar("R")


def first_within(rows: Iterable[R], bytes_of: Callable[[R], int], max_bytes: int) -> list[R]:
    """Return the first rows that together have at most ``max_bytes`` bytes.

    The result always includes the first row: a row above the limit forms a batch of its own. The function reads no row
    after the first one that does not fit.

    Args:
        rows: in order.
        bytes_of: returns the size of a row in bytes.
        max_bytes: maximum sum of the sizes.
    """
    found: list[R] = []
    taken = 0
    for row in rows:
        taken += bytes_of(row)
        if found and taken > max_bytes:
            break
        found.append(row)
    return found


class PendingText(NamedTuple):
    """A passage that waits for its vector."""

    passage: PendingPassage
    whole: bool
    """Whether it is a whole text, so that it may be split."""
    format: TextFormat


def pending_batch(record: CollectionRecord, texts: Iterable[PendingText], max_bytes: int) -> PendingBatch:
    """Return the batch of the first texts: all to be split, in one format, or none to be split.

    Args:
        record: their collection.
        texts: in order, at least one.
        max_bytes: maximum UTF-8 bytes of the texts; a longer text comes alone.
    """
    waiting = iter(texts)
    first = next(waiting)
    splits = record.chunking is not None and first.whole

    def is_alike(each: PendingText) -> bool:
        splits_too = record.chunking is not None and each.whole
        return splits_too == splits and (not splits or each.format == first.format)

    alike = itertools.takewhile(is_alike, itertools.chain([first], waiting))
    limit = min(max_bytes, SPLIT_BYTES) if splits else max_bytes
    found = [each.passage for each in first_within(alike, lambda each: utf8_bytes(each.passage.text), limit)]
    # A damaged one comes alone, so that the others get their vectors.
    sound = list(itertools.takewhile(lambda each: not each.damaged, found)) or found[:1]
    split = Split(record.chunking, first.format) if splits and record.chunking is not None else None
    return PendingBatch(record.collection_id, record.name, sound, record.fingerprint, split)
