"""Keeps a collection in step with a folder, as a source of the gateway.

Each document has an id by its path, and a hash of its content. The gateway compares both with what it has, deletes the
documents that the folder has no more, and says which to ingest. So an unchanged file is not sent again, except a PDF,
which only the gateway can split into its pages.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from tandem_cli.failures import Failed, UsageError
from tandem_cli.ingesting.rows import SUFFIXES, rows
from tandem_cli.ingesting.uploads import read
from tandem_client import Client
from tandem_client.call import Call
from tandem_client.errors import InvalidRequest
from tandem_contract.compatible.open_webui import LoadedDocument

MAX_DOCUMENTS = 10_000
"""Most documents of a source that the gateway compares."""
MAX_HELD_BYTES = 256 << 20
"""Most bytes of rows and pages, which are in memory while the gateway compares them."""

_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_LOADED = msgspec.json.Decoder(LoadedDocument | list[LoadedDocument])


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of the folder: its hash, how to get it, and the bytes that it holds in memory until then."""

    hash: str
    read: Callable[[], dict[str, Any]]
    held: int = 0


def source_name(folder: Path) -> str:
    """Return a name for a folder's source: its own name, and a hash of its path, which tells it from others."""
    resolved = folder.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", resolved.name).strip("-._")[:40] or "folder"
    return f"{name}-{hashlib.sha256(str(resolved).encode()).hexdigest()[:8]}"


def entries(
    client: Client, files: Mapping[str, Path], prefix: str, metadata: Mapping[str, Any]
) -> Iterator[tuple[str, Entry]]:
    """Yield the id and the entry of each document of the files.

    Raises:
        Failed: a file cannot be read; nothing was changed then.
    """
    for name, path in files.items():
        suffix = path.suffix.lower()
        try:
            if suffix in SUFFIXES:
                with path.open("rb") as stream:
                    for row in rows(stream, SUFFIXES[suffix], name):
                        row["id"] = f"{prefix}{row['id']}"
                        row["metadata"] = {**metadata, **row.get("metadata", {}), "file": name}
                        yield str(row["id"]), known(row)
            elif suffix == ".pdf":
                for page in load(client, name, read(name, path)):
                    key = f"{prefix}{name}#{page.metadata.get('page', 1)}"
                    yield key, known(_document(key, page, metadata, name))
            else:
                key = f"{prefix}{name}"
                yield key, Entry(_hash(read(name, path), metadata), _reader(client, key, name, path, metadata))
        except (OSError, ValueError, InvalidRequest) as error:
            raise Failed(f"{name} cannot be read, so nothing was changed: {error}; --exclude leaves it out") from error


def compared(
    found: Iterator[tuple[str, Entry]],
) -> dict[str, Entry]:
    """Collect entries by id.

    Raises:
        UsageError: an id appears twice, or there are too many documents or bytes.
    """
    collected: dict[str, Entry] = {}
    held = 0
    for key, entry in found:
        if key in collected:
            raise UsageError(f"two documents of the folder have the id {key!r}")
        collected[key] = entry
        held += entry.held
        if held > MAX_HELD_BYTES:
            raise UsageError(f"the folder's rows and pages have more than {MAX_HELD_BYTES >> 20} MiB; sync its parts")
        if len(collected) > MAX_DOCUMENTS:
            raise UsageError(
                f"the folder has more than {MAX_DOCUMENTS:,} documents, the most of a source; sync its parts"
            )
    return collected


def load(client: Client, name: str, content: bytes) -> list[LoadedDocument]:
    """Let the gateway read a file without storing it, and return its texts.

    Raises:
        InvalidRequest: if it cannot be read.
    """
    call = Call(
        "PUT",
        "/process",
        _LOADED.decode,
        body=content,
        content_type="application/octet-stream",
        headers={"x-filename": quote(name)},
    )
    loaded = client.send(call)
    return loaded if isinstance(loaded, list) else [loaded]


def known(document: dict[str, Any]) -> Entry:
    """Return the entry of a document that is read already; its hash is that of all its fields."""
    encoded = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    return Entry(hashlib.sha256(encoded).hexdigest()[:32], lambda: document, len(encoded))


def _reader(
    client: Client, key: str, name: str, path: Path, metadata: Mapping[str, Any]
) -> Callable[[], dict[str, Any]]:
    def loaded_now() -> dict[str, Any]:
        (loaded,) = load(client, name, read(name, path))
        return _document(key, loaded, metadata, name)

    return loaded_now


def _document(key: str, loaded: LoadedDocument, metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    told = {**metadata, **loaded.metadata, "file": name}
    document = {"id": key, "text": loaded.page_content, "metadata": told}
    suffix = Path(name).suffix.lower()
    headings = suffix in (".html", ".htm", ".docx") and _HEADING.search(loaded.page_content) is not None
    return document | {"format": "markdown"} if suffix == ".md" or headings else document


def _hash(content: bytes, metadata: Mapping[str, Any]) -> str:
    told = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    told.update(b"\0")
    told.update(content)
    return told.hexdigest()[:32]
