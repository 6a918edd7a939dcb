"""Tandem's gateway: the API that clients see, the store of documents, and the index that follows it."""

from tandem_runtime.version import version

__version__ = version()
