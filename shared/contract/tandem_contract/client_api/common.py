"""What several messages share: metadata, filters, the default collection."""

from typing import Any

DEFAULT_COLLECTION = "default"

FlatValue = str | int | float | bool | None | list[str | int | float]

# The depth is written out: msgspec refuses a deeper object and names its place, and the schema shows the limit.
MetadataValue = FlatValue | dict[str, FlatValue | dict[str, FlatValue | dict[str, FlatValue]]]

Metadata = dict[str, MetadataValue]
"""Field → value. Objects are nested at most ``METADATA_DEPTH`` deep, the metadata itself included."""

METADATA_DEPTH = 4

Filter = dict[str, Any]
"""Conditions on metadata, such as ``{"year": {"$gte": 1960}, "lang": "en"}``; docs/api.md has the language."""
