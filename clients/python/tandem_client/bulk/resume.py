"""A file that remembers which batches of a run the gateway has, so that a run that was cut off goes on.

Its first line names the run. Each other line is a batch: its digest, and its jobs with their numbers of documents. A
line is written after the gateway's 202. A batch that was sent and not written has the same idempotency key in the next
run, so the gateway does not store it twice (it keeps keys for 24 hours).
"""

import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tandem_client.bulk.batches import Batch, BulkOptions
from tandem_client.bulk.delivery import Accepted, Delivered
from tandem_client.bulk.tally import OpenJob

VERSION = 1
_NAME = re.compile(r"[0-9a-f]{16}")


class _Run(msgspec.Struct, frozen=True):
    tandem_resume: int
    run: str


class _Line(msgspec.Struct, frozen=True):
    digest: str
    jobs: list[tuple[str, int]]


def _run_of(line: bytes) -> str:
    """Return the name of the run of a file's first line.

    Raises:
        ValueError: it is of another version, or the name is none that a run has.
    """
    read = msgspec.json.decode(line, type=_Run)
    if read.tandem_resume != VERSION:
        raise ValueError(f"it has the version {read.tandem_resume}, and this client reads {VERSION}")
    if not _NAME.fullmatch(read.run):
        raise ValueError("it names no run")
    return read.run


class ResumeFile:
    """The file of one run; a run without a file has a path of None, and remembers nothing. One thread uses it.

    Args:
        path: of the file, which is created if it does not exist.
        options: of the run.

    Raises:
        ValueError: the file is no resume file.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, options: BulkOptions) -> None:
        self._options = options
        self._done: dict[bytes, list[tuple[str, int]]] = {}
        self.run = secrets.token_hex(8)
        self._file = None
        if path is None:
            return
        whole = self._read(Path(path))
        self._file = Path(path).open("ab")  # noqa: SIM115 - __exit__ closes it
        self._file.truncate(whole)
        if not whole:
            self._write(_Run(VERSION, self.run))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def jobs_of(self, batch: Batch) -> list[OpenJob] | None:
        """Return the jobs of a batch that an earlier run sent; None if it has to be sent."""
        if not self._done:
            return None
        found = self._done.pop(bytes.fromhex(batch.digest(self._options)), None)
        return None if found is None else [OpenJob(job_id, documents) for job_id, documents in found]

    def done(self, batch: Batch, delivered: list[Delivered]) -> None:
        """Remember a batch that the gateway has."""
        if self._file is not None:
            jobs = [
                (outcome.job.job_id, outcome.job.total_documents)
                for outcome in delivered
                if isinstance(outcome, Accepted)
            ]
            self._write(_Line(batch.digest(self._options), jobs))

    def _read(self, path: Path) -> int:
        """Read the lines that are whole, and return their bytes: a crash may have cut the last one."""
        if not path.exists():
            return 0
        whole = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    if whole:
                        read = msgspec.json.decode(line, type=_Line)
                        self._done[bytes.fromhex(read.digest)] = read.jobs
                    else:
                        self.run = _run_of(line)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise ValueError(f"resume: {path} is no resume file of tandem-client: {error}") from error
                whole += len(line)
        if not whole and path.stat().st_size:
            raise ValueError(f"resume: {path} is no resume file of tandem-client")
        return whole

    def _write(self, line: msgspec.Struct) -> None:
        assert self._file is not None
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
