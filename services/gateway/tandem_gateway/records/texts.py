"""The texts and removals that the keyword index follows."""

from dataclasses import dataclass
from typing import NamedTuple


class PassageText(NamedTuple):
    """The first passage of a document, with the document's whole text."""

    passage_id: int
    collection_id: int
    text: str


class RemovedPassage(NamedTuple):
    """A passage that the store no longer has, and the number of the change that removed it."""

    passage_id: int
    change: int


@dataclass(frozen=True, slots=True)
class Removals:
    """A page of removals, in the order of their changes."""

    removals: list[RemovedPassage]
    whole: bool
    """False if the store has already deleted removals that belong before these."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A page of texts, in the order of their passages' ids."""

    passages: list[PassageText]
    upto: int
    """The page reaches up to this passage id: the next page begins after it."""
