"""Cuts documents into requests, by number and bytes. Pure: the same documents always give the same requests."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from tandem_client.calls.ingesting import DocumentLike, encode_document
from tandem_contract.client_api import OnError

MAX_BATCH_DOCUMENTS = 10_000
MAX_BATCH_BYTES = 16 << 20
"""Default limits of the gateway."""


class Tuning(TypedDict, total=False):
    """Optional arguments of ``ingest``; ``BulkOptions`` explains them and has their defaults."""

    batch_documents: int
    batch_bytes: int
    concurrency: int
    max_pending_jobs: int
    stall_seconds: float
    max_failures: int


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How documents are sent.

    Attributes:
        collection: name of the collection, which is created if it does not exist.
        on_error: ``skip`` leaves out documents that are not valid, and the report tells which; ``reject`` stops.
        batch_documents: most documents of a request.
        batch_bytes: most bytes of a request, unless one document has more.
        concurrency: requests under way at the same time.
        max_pending_jobs: jobs that have not ended; beyond it, the next request waits for the oldest.
        wait: whether to wait until all jobs have ended.
        stall_seconds: seconds without any progress after which the ingest stops.
        max_failures: failures that the report keeps; it counts all.
    """

    collection: str = "default"
    on_error: OnError = "skip"
    batch_documents: int = 500
    batch_bytes: int = 4 << 20
    concurrency: int = 4
    max_pending_jobs: int = 64
    wait: bool = False
    stall_seconds: float = 600.0
    max_failures: int = 100

    def __post_init__(self) -> None:
        for name, value, most in (
            ("batch_documents", self.batch_documents, MAX_BATCH_DOCUMENTS),
            ("batch_bytes", self.batch_bytes, MAX_BATCH_BYTES),
            ("concurrency", self.concurrency, 64),
            ("max_pending_jobs", self.max_pending_jobs, 10_000),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"{name}: a number from 1 to {most} was expected, not {value}")
        if self.on_error not in ("skip", "reject"):
            raise ValueError(f"on_error: skip or reject was expected, not {self.on_error!r}")
        if self.max_failures < 0:
            raise ValueError(f"max_failures: a number from 0 was expected, not {self.max_failures}")
        if not self.stall_seconds > 0:
            raise ValueError(f"stall_seconds: seconds above 0 were expected, not {self.stall_seconds}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one request.

    Attributes:
        number: its place in the run, from 0; a half of a batch has ``12.0`` or ``12.1``.
        positions: place of each document in the iterable, from 0.
        lines: each document as JSON with a line feed.
    """

    number: str
    positions: tuple[int, ...]
    lines: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """All lines."""
        return b"".join(self.lines)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return the two halves; the batch has two documents at least."""
        middle = len(self.lines) // 2
        return (
            Batch(f"{self.number}.0", self.positions[:middle], self.lines[:middle]),
            Batch(f"{self.number}.1", self.positions[middle:], self.lines[middle:]),
        )

    def digest(self, options: BulkOptions) -> str:
        """Return a hash of the place, the documents and where they go: equal for the same part of the same run."""
        told = hashlib.sha256(f"{self.number}\n{options.collection}\n{options.on_error}\n".encode())
        for line in self.lines:
            told.update(line)
        return told.hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Unsendable:
    """A document that JSON cannot say."""

    position: int
    reason: str


class Batcher:
    """Takes documents one by one and gives batches; holds at most one batch."""

    def __init__(self, options: BulkOptions) -> None:
        self._options = options
        self._batches = 0
        self._positions: list[int] = []
        self._lines: list[bytes] = []
        self._bytes = 0
        self.read = 0
        """Number of documents taken."""

    def add(self, document: DocumentLike) -> Iterator[Batch | Unsendable]:
        """Take a document, and yield the batches that are complete.

        Raises:
            TypeError: it is no document.
            ValueError: JSON cannot say what it has, and ``on_error`` is ``reject``.
        """
        position = self.read
        self.read += 1
        try:
            line = encode_document(document) + b"\n"
        except TypeError as error:
            raise TypeError(f"document {position}: {error}") from None
        except ValueError as error:
            if self._options.on_error == "reject":
                raise ValueError(f"document {position}: {error}") from None
            yield Unsendable(position, str(error))
            return
        if self._lines and self._bytes + len(line) > self._options.batch_bytes:
            yield self._cut()
        self._positions.append(position)
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) >= self._options.batch_documents or self._bytes >= self._options.batch_bytes:
            yield self._cut()

    def rest(self) -> Iterator[Batch]:
        """Yield the last batch, if there is one."""
        if self._lines:
            yield self._cut()

    def _cut(self) -> Batch:
        batch = Batch(str(self._batches), tuple(self._positions), tuple(self._lines))
        self._batches += 1
        self._positions, self._lines, self._bytes = [], [], 0
        return batch
