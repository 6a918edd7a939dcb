"""Sources: what a list of documents and the documents that the store holds of a source have in common."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """Ids of documents by what is to be done about them.

    Attributes:
        missing: listed, and not held: to be ingested.
        changed: listed with another hash than the one that is held: to be ingested.
        deleted: held, and not listed.
    """

    missing: list[str]
    changed: list[str]
    deleted: list[str]


def difference(listed: Mapping[str, str], held: Mapping[str, str | None]) -> SourceDifference:
    """Compare a source with the store.

    Args:
        listed: id → hash of each document of the source.
        held: id → hash of each document that the store has of it; None if the client gave no hash.
    """
    return SourceDifference(
        [doc_id for doc_id in listed if doc_id not in held],
        [doc_id for doc_id, given in listed.items() if doc_id in held and held[doc_id] != given],
        [doc_id for doc_id in held if doc_id not in listed],
    )
