"""Reads data sets with judged queries, in two common formats.

BEIR (Thakur et al. 2021): ``corpus.jsonl`` with ``_id``, ``title``, ``text``; ``queries.jsonl`` with ``_id``, ``text``;
``qrels/test.tsv`` with a header and query, document, grade.

Cranfield (Cleverdon 1967, as the SMART system stored it): one file of documents and one of queries, in which ``.I``
begins an entry and ``.T``, ``.A``, ``.B``, ``.W`` its fields; one file of judgements with query, document and code.
Judgements count queries from 1 in the order of the file, not by their ``.I``. The codes run from 1 (a complete answer)
to 4 (of minimum interest). Descriptions of the set disagree about their order, and each query also has one document
with code -1. The file leaves out documents of no interest (5). So every judged document counts as relevant, with grade
1, as is usual for this set.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tandem_tools.corpus import Document

Judgements = dict[str, dict[str, int]]
"""Query → document → grade; a grade of 1 or more means relevant, and more is better."""

_CRANFIELD_NO_INTEREST = 5


class NoDataset(Exception):
    """The folder holds no data set of a known format, or a damaged one; the message says which part is missing."""


@dataclass(frozen=True)
class Dataset:
    """Documents, queries and judgements."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    """Only queries with a relevant document."""
    judgements: Judgements


def read_dataset(folder: Path, split: str = "test") -> Dataset:
    """Return the data set in a folder, in either format.

    Raises:
        NoDataset: if the folder has none.
    """
    try:
        if (folder / "corpus.jsonl").is_file():
            documents, queries, judgements = _read_beir(folder, split)
        else:
            documents, queries, judgements = _read_cranfield(folder)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
        raise NoDataset(f"{folder} cannot be read as a data set: {error}") from error
    known = {document.id for document in documents}
    judged = {
        query: relevant
        for query, grades in judgements.items()
        if (relevant := {name: grade for name, grade in grades.items() if grade > 0 and name in known})
    }
    if not documents or not judged.keys() & queries.keys():
        raise NoDataset(f"{folder} has no query with a relevant document")
    return Dataset(
        folder.resolve().name,
        documents,
        {query: text for query, text in queries.items() if query in judged},
        {query: grades for query, grades in judged.items() if query in queries},
    )


def _read_beir(folder: Path, split: str) -> tuple[list[Document], dict[str, str], Judgements]:
    documents = []
    for entry in _jsonl(folder / "corpus.jsonl"):
        text = "\n".join(part for part in (entry.get("title", "").strip(), entry["text"].strip()) if part)
        if text:
            documents.append(Document(str(entry["_id"]), text))
    queries = {str(entry["_id"]): str(entry["text"]) for entry in _jsonl(folder / "queries.jsonl")}
    judgements: Judgements = {}
    lines = (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    for line in lines[1:]:
        if line.strip():
            query, name, grade = line.split("\t")
            judgements.setdefault(query, {})[name] = int(grade)
    return documents, queries, judgements


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        if line.strip():
            yield msgspec.json.decode(line, type=dict[str, Any])


def _read_cranfield(folder: Path) -> tuple[list[Document], dict[str, str], Judgements]:
    documents = [
        Document(number, text)
        for number, fields in _entries(_only(folder, "*.all*"))
        if (text := _document_text(fields))  # two of them are empty
    ]
    queries = {str(place): fields.get("W", "") for place, (_, fields) in enumerate(_entries(_only(folder, "*.qry")), 1)}
    judgements: Judgements = {}
    for line in _only(folder, "*qrel").read_text(encoding="latin-1").splitlines():
        if line.strip():
            query, name, code = line.split()[:3]
            judgements.setdefault(query, {})[name] = int(int(code) != _CRANFIELD_NO_INTEREST)
    return documents, queries, judgements


def _document_text(fields: dict[str, str]) -> str:
    """Return the abstract, which begins with the title; without an abstract, the title."""
    return fields.get("W", "") or fields.get("T", "")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise NoDataset(f"{folder} has {len(found)} files {pattern}; one was expected (or BEIR's corpus.jsonl)")
    return found[0]


def _entries(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield number and fields of each entry of a SMART file, with each run of white space as one space."""
    text = path.read_text(encoding="latin-1")
    parts = re.split(r"^\.I\s+(\S+)\s*$", text, flags=re.MULTILINE)[1:]
    for number, body in zip(parts[::2], parts[1::2], strict=True):
        pieces = re.split(r"^\.([A-Z])\s*$", body, flags=re.MULTILINE)[1:]
        fields: dict[str, str] = {}
        for name, content in zip(pieces[::2], pieces[1::2], strict=True):
            fields.setdefault(name, " ".join(content.split()))
        yield number, fields
