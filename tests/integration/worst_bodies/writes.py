"""The worst bodies for the routes that write documents."""

import json
from collections.abc import Callable

from tests.integration.worst_bodies.parts import LIMIT, filled


def documents(count: int, document: object) -> bytes:
    return json.dumps({"documents": [document] * count}).encode()


METADATA = {f"key{number}": number for number in range(110)}
LISTS = {f"key{number}": [""] * 100 for number in range(11)}

INGESTS: dict[str, Callable[[], bytes]] = {
    # valid, and of the maximum size
    "10,000 documents with 110 keys": lambda: documents(9_900, {"text": "x", "metadata": METADATA}),
    "10,000 documents of prose": lambda: documents(10_000, {"text": "Some words, and some more. " * 55}),
    "10,000 documents with lists": lambda: documents(3_500, {"text": "x", "metadata": LISTS}),
    "documents of the longest text": lambda: documents(160, {"text": "x, " * 33_333}),
    "documents of escapes": lambda: documents(27, {"text": "\x01" * 99_990}),
    # the most that are not valid, and are skipped
    "10,000 that are skipped": lambda: json.dumps(
        {"documents": [{"text": "x"}, *[{"id": "a", "text": "x", "metadata": {"k": [[]]}}] * 9_999], "on_error": "skip"}
    ).encode(),
    "a small body that is skipped": lambda: b'{"on_error":"skip","documents":[{"text":"x"},' + b"0," * 9_000 + b"0]}",
    "large ones that are skipped": lambda: filled(
        LIMIT, b'{"id":"a","text":"' + b"x" * 1_000_000 + b'"}', b'{"on_error":"skip","documents":[{"text":"x"},%s]}'
    ),
    "skipped with a lone surrogate": lambda: json.dumps(
        {"on_error": "skip", "documents": [{"text": "x"}, *[{"text": "\ud800" + "x" * 1_500}] * 9_999]}
    ).encode(),
    "a large one of brackets that is skipped": lambda: (
        b'{"on_error":"skip","documents":[{"text":"x"},' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"]}"
    ),
    # all of it is invalid
    "a million documents": lambda: filled(LIMIT, b'{"text":"x"}'),
    "zeros": lambda: filled(LIMIT, b"0"),
    "empty strings": lambda: filled(LIMIT, b'""'),
    "arrays": lambda: filled(LIMIT, b"[[[[]]]]"),
    "one document with a million keys": lambda: filled(
        LIMIT, b'"k":0', b'{"documents":[{"text":"x","metadata":{%s}}]}'
    ),
    "one document with a list": lambda: filled(LIMIT, b'""', b'{"documents":[{"text":"x","metadata":{"k":[%s]}}]}'),
    "zeros in another field": lambda: filled(LIMIT, b"0", b'{"documents":[{"text":"x"}],"x":[%s]}'),
    "zeros in the collection": lambda: filled(LIMIT, b"0", b'{"documents":[{"text":"x"}],"collection":[%s]}'),
    "a name of zeros and names": lambda: filled(LIMIT, b'"a":[0]', b"{%s}"),
    "a long name": lambda: b'{"' + b" - at `$." * 1_800_000 + b'\\n":1}',
    "names of the message": lambda: b'{"' + b"unknown field `" * 1_000_000 + b'":1}',
    "quotes": lambda: b'{"documents":[{"text":"' + b'\\"' * 8_000_000 + b'"}]}',
    "backslashes": lambda: b'{"documents":[{"text":"' + b"\\\\" * 8_000_000 + b'"}]}',
    "brackets": lambda: b"[" * LIMIT,
    "white space": lambda: b" " * LIMIT,
    "a lone surrogate and a list": lambda: filled(LIMIT, b"0", b'{"collection":"\\ud800","documents":[%s]}'),
    "documents with a lone surrogate": lambda: filled(
        LIMIT // 8, b'{"text":"x"}', b'{"documents":[%s,{"text":"\\ud800"}]}'
    ),
}
FORM = "multipart/form-data; boundary=b"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """Return a form of parts: name, filename and content."""
    made = bytearray()
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        made += f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    return bytes(made + b"--b--\r\n")


FILES: dict[str, Callable[[], bytes]] = {
    # valid
    "10,000 rows": lambda: form(("files", "a.csv", b"text,a,b\n" + b"some words,1,2\n" * 10_000)),
    "10,000 rows with 40 columns": lambda: form(
        ("files", "a.csv", b"text" + b"".join(b",c%d" % n for n in range(40)) + (b"\nw" + b",1" * 40) * 10_000)
    ),
    "rows of prose": lambda: form(("files", "a.jsonl", b'{"text":"%s"}\n' % (b"Some words. " * 1000) * 150)),
    "100 files": lambda: form(*[("files", f"{n}.txt", b"some words " * 9000) for n in range(100)]),
    # invalid
    "a long text": lambda: form(("files", "a.txt", b"x" * (LIMIT - 1000))),
    "more rows than allowed": lambda: form(("files", "a.csv", b"text\n" + b"x\n" * (LIMIT // 2 - 1000))),
    "a million parts": lambda: form(*[("files", "a.txt", b"")] * 200_000),
    "a preamble": lambda: b"x" * LIMIT,
    "half of boundaries": lambda: form(("files", "a.txt", b"\r\n--" * (LIMIT // 4 - 1000))),
    "line ends": lambda: form(("files", "a.txt", b"\r\n" * (LIMIT // 2 - 1000))),
    "a long header": lambda: b"--b\r\n" + b"x" * (LIMIT - 10),
    "much metadata": lambda: form(("metadata", None, filled(120_000, b'"k":0', b"{%s}")), ("files", "a.txt", b"x")),
    "nested metadata": lambda: form(("metadata", None, b'{"a":' * 20_000), ("files", "a.txt", b"x")),
    "over its limit": lambda: form(("files", "a.txt", b"x" * (2 * LIMIT))),
}
DOCUMENT = "/v1/collections/default/documents/word"
PATCHES: dict[str, Callable[[], bytes]] = {
    "a thousand keys": lambda: json.dumps({"metadata": {f"key{n}": n for n in range(1_000)}}).encode(),
    "many keys": lambda: json.dumps({"metadata": {str(n): 0.5 for n in range(70_000)}}).encode(),
    "many keys to remove": lambda: json.dumps({"metadata": {str(n): None for n in range(70_000)}}).encode(),
    "many keys and a bad one": lambda: b'{"metadata":{%s"x":[true]}}' % (b'"a":{},' * 149_000),
    "objects": lambda: filled(1 << 20, b'"a":{"b":{"c":{}}}', b'{"metadata":{%s}}'),
    "a long list": lambda: filled(1 << 20, b"0", b'{"metadata":{"a":[%s]}}'),
    "a long text": lambda: json.dumps({"metadata": {"a": "\u00e9" * 170_000}}).encode(),
    "brackets": lambda: b"[" * (1 << 20),
}
SOURCES: dict[str, Callable[[], bytes]] = {
    "10,000 documents": lambda: json.dumps(
        {"documents": [{"id": f"{n:064}", "hash": "0" * 64} for n in range(10_000)]}
    ).encode(),
    "too many documents": lambda: filled(2 << 20, b'{"id":"a","hash":"b"}'),
    "zeros": lambda: filled(2 << 20, b"0"),
    "brackets": lambda: b"[" * (2 << 20),
    "a long name": lambda: b'{"' + b" - at `$." * 200_000 + b'\n":1}',
}
