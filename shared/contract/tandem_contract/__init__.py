"""The messages between clients, gateway and embedder, with their codecs and errors.

Imports only msgspec and the standard library, so that a client can use it without installing a service.

Evolution: a new field gets a default; no field changes its type or gets a new meaning; readers of responses ignore
unknown fields.
"""
