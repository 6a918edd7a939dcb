"""Tandem's gateway: the API that clients see, the store of documents, and the index that follows it."""

__version__ = "0.1.0"
