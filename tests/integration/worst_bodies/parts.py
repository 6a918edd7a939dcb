"""Parts of which the worst bodies are made, and the limits of the gateway on a body."""

LIMIT = 16 << 20
SEARCH_LIMIT = 64 << 10


def filled(limit: int, element: bytes, around: bytes = b'{"documents":[%s]}') -> bytes:
    """Return a body of just under ``limit`` bytes, with as many elements as fit."""
    count = (limit - len(around)) // (len(element) + 1)
    return around % b",".join([element] * count)
