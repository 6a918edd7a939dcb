"""Content codings, gzip and zstd: bodies of requests are decompressed, and large replies compressed, for every route.

One ASGI layer around all routes does both (``layer``). A handler reads a decompressed body within its own limit, and it
need not know that the client compressed it.

``negotiation``    which coding a reply gets, from Accept-Encoding; pure
``decompression``  decompresses a stream step by step, with bounded steps
``requests``       the body of a request, decompressed as it arrives
``replies``        compresses a reply
``layer``          the ASGI layer
``zstandard``      the zstd module of the standard library or its backport
"""
