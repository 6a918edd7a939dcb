"""Builds the gateway from its settings: the open store, the use cases, the embedder pools and the routes."""
