"""Damages files as disks and people do, and compares a gateway's answers before and after."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tandem_gateway.composition.storage import open_store
from tandem_gateway.index.state import VectorQuery
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.records.search import Hit
from tandem_gateway.settings import Settings
from tandem_runtime.memory import MemoryBudget
from tests.support.fakes import answered

DATABASE = "tandem.sqlite3"

Damage = Callable[[Path], None]


@dataclass(frozen=True)
class Question:
    """A query's vector from an embedder, and the collection to search."""

    collection: str
    vector: list[float]
    fingerprint: str


def flip(path: Path, position: int, mask: int = 0xFF) -> None:
    """Invert bits of one byte; a negative position counts from the end."""
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


def truncate(path: Path, size: int) -> None:
    """Cut a file to ``size`` bytes; a negative size removes that many bytes."""
    content = path.read_bytes()
    path.write_bytes(content[:size])


def flipped(share: float, mask: int = 0xFF) -> Damage:
    """Return a function that inverts a byte at a share of the file's length."""
    return lambda path: flip(path, min(int(path.stat().st_size * share), path.stat().st_size - 1), mask)


def cut(share: float) -> Damage:
    """Return a function that keeps a share of the file."""
    return lambda path: truncate(path, int(path.stat().st_size * share))


DAMAGES: dict[str, Damage] = {
    "first byte flipped": flipped(0.0),
    "a bit of the middle flipped": flipped(0.5, 0x01),
    "last byte flipped": flipped(1.0),
    "last byte lost": lambda path: truncate(path, -1),
    "half of it": cut(0.5),
    "empty": cut(0.0),
    "missing": lambda path: path.unlink(),
}


def copy_of(data_dir: Path, target: Path) -> Path:
    """Return a fresh copy of a data directory in ``target``, which is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(data_dir, target)
    return target


def answers(data_dir: Path, questions: Sequence[Question]) -> tuple[list[Any], list[str]]:
    """Open a data directory as a startup does, ask every question, and close it.

    Returns:
        All answers and the store's content, in a comparable form; and the notices of the startup.

    Raises:
        StorageError: if the startup refuses the data.
    """
    storage = open_store(
        Settings(data_dir=data_dir), Metrics("test"), MemoryBudget(1 << 30, "TANDEM_MAX_BYTES_IN_FLIGHT")
    )
    try:
        queries = [
            VectorQuery(question.collection, np.array(question.vector, np.float32), question.fingerprint, 10)
            for question in questions
        ]
        found: list[Any] = [
            [(hit.doc_id, round(hit.score, 6), hit.text, hit.metadata) for hit in hits]
            for hits in answered(storage.index, queries)
            if _is_hits(hits)
        ]
        assert len(found) == len(questions)
        return found, storage.notices
    finally:
        storage.close()


def _is_hits(hits: list[Hit] | Exception) -> bool:
    assert not isinstance(hits, Exception), hits
    return True
