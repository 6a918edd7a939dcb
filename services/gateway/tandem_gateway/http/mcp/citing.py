"""What a language model cites: the title, the URL and the source of a document, from its metadata."""

from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

_MAX_TITLE: Final = 300
_MAX_SOURCE: Final = 500
_MAX_URL: Final = 1_000
"""Characters; a longer source or URL is left out, because a part of it leads nowhere."""


class _Cited(msgspec.Struct):
    """The fields of metadata that name a source; other fields are skipped."""

    title: Any = None
    url: Any = None
    source: Any = None
    filename: Any = None
    file: Any = None


class Citation(NamedTuple):
    """How to cite a document; ``source`` is None if its metadata names none."""

    title: str
    url: str
    source: str | None


_decoder: Final = msgspec.json.Decoder(_Cited)


def cite(collection: str, doc_id: str, metadata: str) -> Citation:
    """Return how to cite a document.

    Args:
        collection: of the document.
        doc_id: its id, which is the title if the metadata has none.
        metadata: its metadata, a JSON object.
    """
    found = _decoder.decode(metadata)
    source = _first((found.source, found.filename, found.file), _MAX_SOURCE)
    url = next((given for given in (found.url, found.source) if _is_url(given)), None)
    title = next((given for given in (found.title, found.filename, found.file) if isinstance(given, str) and given), "")
    return Citation(
        title[:_MAX_TITLE] or source or doc_id,
        url or f"tandem:{quote(collection)}/{quote(doc_id, safe='')}",
        source,
    )


def _first(values: tuple[Any, ...], most: int) -> str | None:
    return next((value for value in values if isinstance(value, str) and 0 < len(value) <= most), None)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_URL and value.startswith(("https://", "http://"))
