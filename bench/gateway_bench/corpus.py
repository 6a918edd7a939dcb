"""The documents that every architecture ingests: the sample corpus, or a file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tandem_tools.corpus import Document, describe_standard_library, standard_library


def read_corpus(path: Path | None) -> tuple[list[Document], str]:
    """Return documents and a description of them: those of a file, or the sample corpus if ``path`` is None.

    The sample corpus comes without metadata, so that an architecture is measured on ids and texts alone.

    Raises:
        ValueError: if the file has no document, or a line that is none.
        OSError: if the file cannot be read.
    """
    if path is None:
        return [Document(document.id, document.text) for document in standard_library()], describe_standard_library()
    documents = read_jsonl(path)
    if not documents:
        raise ValueError(f"{path.name} has no documents")
    return documents, path.name


def read_jsonl(path: Path) -> list[Document]:
    """Return the documents of a file with one JSON object a line, ``{"id"?, "text"}``.

    A document without an id gets its line number.

    Raises:
        ValueError: naming the line that is no document.
        OSError: if the file cannot be read.
    """
    documents = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            text = msgspec.json.decode(entry["text"], type=str)
            documents.append(Document(_id_of(entry, number), text))
        except (msgspec.MsgspecError, KeyError) as error:
            raise ValueError(f'{path}, line {number}: {{"id", "text"}} was expected ({error})') from error
    return documents


def digest(documents: Sequence[Document]) -> str:
    """Return the SHA-256 of the documents: two results with equal digests were measured on equal documents."""
    return hashlib.sha256(msgspec.json.encode(documents)).hexdigest()


def _id_of(entry: dict[str, msgspec.Raw], number: int) -> str:
    for name in ("id", "_id"):
        if name in entry:
            return str(msgspec.json.decode(entry[name]))
    return str(number)
