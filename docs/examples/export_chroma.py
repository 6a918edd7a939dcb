"""Writes the documents of a Chroma collection as JSON Lines, which ``tandem ingest`` reads.

It runs where your Chroma runs: it needs the package chromadb in your version, and nothing of Tandem.

    python export_chroma.py ./chroma notes > notes.jsonl            # a folder of PersistentClient
    python export_chroma.py http://localhost:8000 notes > notes.jsonl   # a server

Each line has ``id``, ``text`` and ``metadata``. The vectors stay behind, since they belong to another model. An entry
without a text cannot be embedded again: it is left out, and counted on standard error.

Exit status: 0 written, 1 no such collection or no answer, 2 a wrong argument.
"""

import argparse
import json
import sys
from urllib.parse import urlsplit

import chromadb

PAGE = 1_000


def main() -> int:
    """Run the command and return its exit status."""
    command = argparse.ArgumentParser(description="Write the documents of a Chroma collection as JSON Lines.")
    command.add_argument("source", metavar="FOLDER|URL", help="folder of PersistentClient, or URL of a server")
    command.add_argument("collection", help="name of the collection")
    given = command.parse_args()
    try:
        collection = client(given.source).get_collection(given.collection, embedding_function=None)
        written, left_out = export(collection)
    except BrokenPipeError:  # the reader has ended, such as `head`
        return 1
    except Exception as error:  # Chroma's exceptions have no common class but this
        print(f"export_chroma: {given.source}, {given.collection}: {error}", file=sys.stderr)
        return 1
    print(f"export_chroma: {written} documents written, {left_out} without a text left out", file=sys.stderr)
    return 0


def client(source: str) -> "chromadb.ClientAPI":
    """Return a client of a folder or a server."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https") and parts.hostname:
        tls = parts.scheme == "https"
        return chromadb.HttpClient(parts.hostname, parts.port or (443 if tls else 80), ssl=tls)
    return chromadb.PersistentClient(source)


def export(collection: "chromadb.Collection") -> tuple[int, int]:
    """Write a collection to standard output in pages; return the numbers of documents written and left out."""
    written = left_out = 0
    for offset in range(0, collection.count(), PAGE):
        page = collection.get(limit=PAGE, offset=offset, include=["documents", "metadatas"])
        for id_, text, metadata in zip(page["ids"], page["documents"], page["metadatas"], strict=True):
            if not text:
                left_out += 1
                continue
            print(json.dumps({"id": id_, "text": text, "metadata": metadata or {}}, ensure_ascii=False))
            written += 1
    sys.stdout.flush()
    return written, left_out


if __name__ == "__main__":
    sys.exit(main())
