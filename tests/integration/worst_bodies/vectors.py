"""The worst bodies for the routes that return vectors, of the gateway and of the embedder."""

import json
from collections.abc import Callable

from tests.integration.worst_bodies.parts import LIMIT, filled

VECTORS: dict[str, Callable[[], bytes]] = {
    # valid, and of the maximum size
    "2,048 texts of prose": lambda: json.dumps({"input": ["Some words, and some more. " * 280] * 2048}).encode(),
    "2,048 texts of other scripts": lambda: json.dumps(
        {"input": ["\N{GRINNING FACE}é" * 400] * 2048}, ensure_ascii=False
    ).encode(),
    "a long text": lambda: json.dumps({"input": "x, " * 33_333}).encode(),
    # all of it is invalid
    "a text of quotes": lambda: b'{"input":"' + b'\\"' * 8_000_000 + b'"}',
    "texts of quotes": lambda: b'{"input":["' + b'\\"' * 8_000_000 + b'"]}',
    "blank texts": lambda: json.dumps({"input": [" " * 8_000] * 2048}).encode(),
    "zeros": lambda: filled(LIMIT, b"0", b'{"input":[%s]}'),
    "2,000 lists of zeros": lambda: filled(LIMIT, b"[" + b",".join([b"0"] * 4_000) + b"]", b'{"input":[%s]}'),
    "empty strings": lambda: filled(LIMIT, b'""', b'{"input":[%s]}'),
    "empty strings twice": lambda: filled(LIMIT, b'""', b'{"input":[%s],"input":["a"]}'),
    "empty strings in a spelled field": lambda: filled(LIMIT, b'""', b'{"\\u0069nput":[%s]}'),
    "zeros in another field": lambda: filled(LIMIT, b"0", b'{"input":["a"],"x":[%s]}'),
    "objects in another field": lambda: filled(LIMIT, b'{"a":""}', b'{"input":["a"],"x":[%s]}'),
    "zeros in the model": lambda: filled(LIMIT, b"0", b'{"input":"a","model":[%s]}'),
    "brackets": lambda: b"[" * LIMIT,
    "brackets as texts": lambda: b'{"input":' + b"[" * (LIMIT - 100),
    "white space": lambda: b" " * LIMIT,
    "a long name": lambda: b'{"' + b" - at `$." * 1_800_000 + b'\\n":1}',
    "a lone surrogate and a list": lambda: filled(LIMIT, b'""', b'{"model":"\\ud800","input":[%s]}'),
    "over its limit": lambda: b" " * (2 * LIMIT),
}
EMBEDS: dict[str, Callable[[], bytes]] = {
    "64 texts": lambda: json.dumps({"texts": ["some words, " * 8_333] * 64}).encode(),
    "a million texts": lambda: filled(8 << 20, b'""', b'{"texts":[%s]}'),
    "zeros": lambda: filled(8 << 20, b"0", b'{"texts":[%s]}'),
    "zeros in another field": lambda: filled(8 << 20, b"0", b'{"x":[%s]}'),
    "a long name": lambda: b'{"' + b" - at `$." * 900_000 + b'\\n":1}',
    "quotes": lambda: b'{"texts":["' + b'\\"' * 4_000_000 + b'"]}',
    "a lone surrogate and a list": lambda: filled(8 << 20, b'""', b'{"kind":"\\ud800","texts":[%s]}'),
}
