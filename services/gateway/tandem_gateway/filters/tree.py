"""The tree of a filter. It is immutable and hashable.

Each leaf is a positive statement about one field: it does not hold for a document without the field. ``$ne``, ``$nin``
and ``$exists: false`` are negations of a leaf, so they hold for such a document.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

Number = int | Decimal
"""A number as JSON has it. A decimal keeps every digit; a float would not."""
Scalar = str | Number | bool | None
Key = tuple[Literal["string", "number", "boolean", "null"], Scalar]
"""A scalar with its JSON type, so that 1, true and "1" differ; 1 and 1.0 are the same number."""
Order = Literal["$gt", "$gte", "$lt", "$lte"]


@dataclass(frozen=True, slots=True)
class Equals:
    """The field's value is one of these scalars."""

    field: str
    keys: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Ordered:
    """The field's value is of the bound's type, and comes before or after it. Strings compare by code points."""

    field: str
    order: Order
    bound: str | Number


@dataclass(frozen=True, slots=True)
class Contains:
    """The field's value is a list that has this scalar."""

    field: str
    key: Key


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value; null is one."""

    field: str


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold; holds without parts."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Leaf = Equals | Ordered | Contains | Exists
Filter = Leaf | Both | Either | Not


EVERYTHING: Final = Both(())
"""The filter that every document matches."""


def key_of(value: object) -> Key | None:
    """Return a scalar with its type; None for a list or an object, which equal no scalar."""
    match value:
        case bool():
            return "boolean", value
        case int() | Decimal():
            return "number", value
        case str():
            return "string", value
        case None:
            return "null", None
    return None
