"""Grouping: the best hit of each value of a metadata field. Pure functions."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, Final

import msgspec

from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.filters.matching import decode_metadata, value_at
from tandem_gateway.filters.tree import key_of
from tandem_gateway.records.search import Hit, RankedPassage

MAX_GROUPED: Final = 5000
"""Maximum number of documents of each ranking among which a search looks for groups."""
READ_AT_ONCE: Final = 100
"""Documents whose metadata is read at once: at the usual limit on metadata, this decodes in a few milliseconds."""
_LONG_CHARS: Final = 64


class Groups:
    """Collects the best passage of each group from passages in the order of a ranking.

    A document without the field is a group of its own. It holds a few hundred bytes for each passage.
    """

    def __init__(self, field: str) -> None:
        """Make it for a field; a dot reaches into an object."""
        self._field = field
        self._keys: dict[int, Hashable | None] = {}
        """First passage → group; None for a document that no longer exists."""

    def unread(self, ranked: Sequence[RankedPassage]) -> list[RankedPassage]:
        """Return the passages whose documents it does not know yet."""
        return [each for each in ranked if each.passage_id not in self._keys]

    def read(self, ranked: Sequence[RankedPassage], hits: Sequence[Hit]) -> None:
        """Add the documents of passages. It may take long; another thread may do it.

        Args:
            ranked: the passages.
            hits: their documents, of which only the metadata is needed; those that no longer exist are missing.

        Raises:
            StorageCorrupt: the metadata of one is not JSON.
        """
        self._keys.update(dict.fromkeys(each.passage_id for each in ranked))
        for hit in hits:
            try:
                metadata = decode_metadata(hit.metadata)
            except msgspec.MsgspecError:
                raise StorageCorrupt(
                    "documents: the metadata of a document is not what was written; "
                    "run `python -m tandem_gateway verify`"
                ) from None
            key = group_of(value_at(metadata, self._field))
            self._keys[hit.first] = ("document", hit.first) if key is None else key

    def best(self, ranked: Sequence[RankedPassage], most: int) -> list[RankedPassage]:
        """Return the first passage of each group, at most ``most``, up to the first passage that it does not know."""
        found: dict[Hashable, RankedPassage] = {}
        for each in ranked:
            if each.passage_id not in self._keys:
                break
            key = self._keys[each.passage_id]
            if key is not None and key not in found:
                found[key] = each
                if len(found) == most:
                    break
        return list(found.values())


def group_of(value: Any) -> Hashable | None:
    """Return what equal values of a field have in common; None if there is no value. 1 equals 1.0, and not true."""
    if isinstance(value, list):
        return "list", tuple(group_of(each) for each in value)
    if isinstance(value, dict):
        return "object", frozenset((name, group_of(each)) for name, each in value.items())
    if isinstance(value, str) and len(value) > _LONG_CHARS:
        return "long string", hashlib.blake2b(value.encode(), digest_size=16).digest()
    return key_of(value)
