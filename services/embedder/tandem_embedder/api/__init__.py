"""The HTTP edge: bytes and headers in, bytes and status out; what a request means is the use case's affair."""
