"""The gateway's lifecycle: ``gateway`` starts and stops it, over the ``open_store``, with its background tasks."""

from tandem_gateway.lifecycle.gateway import Gateway
from tandem_gateway.lifecycle.open_store import OpenStore
from tandem_gateway.lifecycle.retention import RetentionPolicy

__all__ = ["Gateway", "OpenStore", "RetentionPolicy"]
