"""What the two services and their clients agree on: messages, codecs, errors, and how a Tandem service behaves.

Imports msgspec and the standard library only, so that a client may use it without installing a service; but for
``service.serving``, which is how both services run uvicorn.

Evolution: a new field gets a default; no field is retyped or reused; readers of responses ignore fields that
they do not know.
"""
