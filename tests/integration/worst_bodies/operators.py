"""The worst bodies for the routes of operators."""

import json
from collections.abc import Callable

from tests.integration.worst_bodies.parts import LIMIT, filled

COLLECTION = "/v1/collections/default"
KEYS = "/v1/admin/keys"
OPERATORS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "a key for the longest globs": (
        "POST",
        KEYS,
        lambda: json.dumps({"name": "a" * 100, "role": "search", "collections": ["*a*a*a*" + "?" * 50] * 100}).encode(),
    ),
    "a key for many globs": (
        "POST",
        KEYS,
        lambda: filled(64 << 10, b'"*"', b'{"name":"a","role":"b","collections":[%s]}'),
    ),
    "a key of zeros": ("POST", KEYS, lambda: filled(64 << 10, b"0", b'{"name":[%s]}')),
    "a key with a filter of brackets": (
        "POST",
        KEYS,
        lambda: b'{"name":"a","role":"search","filter":' + b'{"a":' * 10_000,
    ),
    "a key with a filter of fields": (
        "POST",
        KEYS,
        lambda: filled(64 << 10, b'"k":0', b'{"name":"a","role":"search","filter":{%s}}'),
    ),
    "a key of a long name": ("POST", KEYS, lambda: b'{"' + b" - at `$." * 7_000 + b'\n":1}'),
    "a key over its limit": ("POST", KEYS, lambda: b" " * LIMIT),
    "a rotation with a body": ("POST", f"{KEYS}/0123456789ab/rotate", lambda: b"[" * LIMIT),
    "shares of zeros": ("PUT", "/v1/admin/traffic", lambda: filled(4096, b"0", b'{"canary_weight":[%s]}')),
    "shares over their limit": ("PUT", "/v1/admin/traffic", lambda: b" " * LIMIT),
    "a collection of brackets": ("PUT", COLLECTION, lambda: b"[" * LIMIT),
    "a collection of zeros": ("PUT", COLLECTION, lambda: filled(64 << 10, b"0", b'{"chunking":[%s]}')),
    "a collection of unknown fields": ("PUT", COLLECTION, lambda: filled(64 << 10, b'"k":[0]', b"{%s}")),
    "a cancel with a body": ("POST", f"/v1/jobs/job_{'0' * 32}/cancel", lambda: b"[" * LIMIT),
    "a retry with a body": ("POST", f"/v1/jobs/job_{'0' * 32}/retry", lambda: b"[" * LIMIT),
}
"""Name → method, path and body, for an operator's key."""
