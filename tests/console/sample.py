"""The documents that the tests and the pictures of the console show."""

import json
from pathlib import Path
from typing import Any, Final

from tests.support.stack import Client

LIBRARY: Final = "library"
EMPTY: Final = "empty"
ATTACK: Final = '<img src=x onerror="window.attacked = true"><script>window.attacked = true</script>'
"""A text that becomes code in a page that takes texts for HTML."""

_TEXTS: Final = Path(__file__).parent / "sample.jsonl"
_OTHERS: Final[list[dict[str, Any]]] = [
    {"id": "قطة", "text": "جلست القطة على السجادة ونظرت إلى المطر.", "metadata": {"topic": "animals", "lang": "ar"}},
    {"id": "attack", "text": f"A pet that attacks: {ATTACK}", "metadata": {"topic": ATTACK, "<b>name</b>": "a pet"}},
    {
        "id": "long/handbook.md",
        "text": "# Handbook\n\n## Pets\n\nA pet may come to the office on Fridays. " + "It waits under the desk. " * 80
        + "\n\n## Tea\n\nTea is free. " + "The kettle is in the kitchen. " * 80,
        "format": "markdown",
        "metadata": {"topic": "office", "author": {"name": "Ada", "team": "people"}, "draft": False},
    },
]  # fmt: skip


def fill(client: Client, *, attack: bool = True) -> None:
    """Store the sample in the collection ``library``, and make the collection ``empty``.

    Args:
        client: of the gateway.
        attack: whether the sample has the document with HTML.
    """
    documents = [json.loads(line) for line in _TEXTS.read_text().splitlines()]
    client.ingest_and_wait([*documents, *(each for each in _OTHERS if attack or each["id"] != "attack")], LIBRARY)
    client.http.put(f"/v1/collections/{EMPTY}", json={}).raise_for_status()
