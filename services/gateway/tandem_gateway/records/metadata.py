"""The metadata of a document."""

from typing import Any

Metadata = dict[str, Any]
"""Field → string, number, boolean, null, list of strings and numbers, or an object of such values.

The store keeps it as JSON text. The contract's ``Metadata`` has the whole type, with the limit on its depth.
"""
