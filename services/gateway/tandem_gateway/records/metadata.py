"""The metadata of a document."""

MetadataValue = str | int | float | bool | None | list[str]
Metadata = dict[str, MetadataValue]
"""Field → value. The store keeps it as JSON text."""
