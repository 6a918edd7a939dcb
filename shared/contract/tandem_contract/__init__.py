"""The contract between the two services and their clients: messages, codecs, errors, and shared service behaviour.

Imports only msgspec and the standard library, so that a client can use it without installing a service. The exceptions
are ``service.serving``, with which both services run uvicorn, and ``service.json_slices``, which uses numpy.

Evolution: a new field gets a default; no field changes its type or gets a new meaning; readers of responses ignore
unknown fields.
"""
