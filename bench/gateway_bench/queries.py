"""The queries of a load run: from a file, from a corpus, or one query repeated."""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway_bench.load.connection import Target
from tandem_tools.corpus import Document

DISTINCT = 20_000
"""Number of queries from a corpus. A query comes back only after all others, so a server's cache of recent answers or
vectors does not help: it is smaller."""

REPEATED = "open a web page in the browser"
"""The query of a run that repeats one."""

_FEWEST_WORDS = 5
_MAX_WORDS = 11
_WORD = re.compile(r"[A-Za-z]{2,}")


def make_queries(documents: Sequence[Document], count: int = DISTINCT, seed: int = 7) -> list[str]:
    """Return ``count`` distinct queries, each 5 to 11 consecutive words of a document.

    The same documents, count and seed give the same queries.

    Raises:
        ValueError: if the documents have too little text.
    """
    draw = random.Random(seed)  # noqa: S311 - a sample, not a secret
    texts = [words for document in documents if len(words := _WORD.findall(document.text)) >= _MAX_WORDS]
    made: dict[str, None] = {}
    for _ in range(20 * count):
        if len(made) == count or not texts:
            break
        words = draw.choice(texts)
        length = draw.randint(_FEWEST_WORDS, _MAX_WORDS)
        start = draw.randrange(len(words) - length + 1)
        made[" ".join(words[start : start + length]).lower()] = None
    if len(made) < count:
        raise ValueError(f"the documents have too little text for {count} distinct queries: {len(made)} were made")
    return list(made)


def read_queries(path: Path) -> list[str]:
    """Return the queries of a file, one a line: plain text, or JSON objects with ``query`` or ``text``.

    Raises:
        ValueError: if a line is invalid, or the file has no query.
        OSError: if the file cannot be read.
    """
    queries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            queries.append(line.strip())
            continue
        try:
            entry = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        query = entry.get("query", entry.get("text"))
        if not isinstance(query, str):
            raise ValueError(f'{path}, line {number}: a string "query" or "text" was expected')
        queries.append(query)
    if not queries:
        raise ValueError(f"{path} has no query")
    return queries


def search_body(query: str, top_k: int, collection: str | None = None, mode: str | None = None) -> bytes:
    """Return the body of a search; fields that are None are left out."""
    optional = {"collection": collection, "mode": mode}
    return msgspec.json.encode(
        {"query": query, "top_k": top_k, **{name: value for name, value in optional.items() if value is not None}}
    )


def endless_requests(target: Target, bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Return an endless iterator of whole requests with these bodies in turn."""
    return itertools.cycle([target.request(body) for body in bodies])
