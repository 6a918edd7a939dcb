"""A process for each engine, so that memory and CPU time are the engine's own; the parent lets them work in turn."""

import gc
import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway_bench.keyword import zipf
from gateway_bench.keyword.engine import Damaged, Engine

CHANGED_BITS: Final = 8
"""Bits that one trial of damage changes."""

_ANSWER_SECONDS: Final = 3600.0
_TRIAL_SECONDS: Final = 60.0
_TOP: Final = 10


class Died(Exception):
    """The process ended, or gave no answer in time."""


class Answer(NamedTuple):
    """The result of a call, and what it took."""

    value: Any
    wall: float
    """Seconds."""
    cpu: float
    """Seconds of all threads of the process."""


class Memory(NamedTuple):
    """Memory of a process in MiB."""

    anonymous: float
    mapped: float
    """Resident pages of files, which the kernel can drop."""


def maker(engine: str) -> Callable[[Path], Any]:
    """Return the class of an engine by its name; only then import it."""
    if engine == "tantivy":
        from gateway_bench.keyword.tantivy_engine import Tantivy  # noqa: PLC0415  only its process pays for the import

        return Tantivy
    from gateway_bench.keyword.fts5 import Fts5File, Fts5Store, Store  # noqa: PLC0415

    return {"fts5-file": Fts5File, "fts5-store": Fts5Store, "store-alone": Store}[engine]


class Worker:
    """The parent's side of a process."""

    def __init__(self, engine: str, folder: Path, *, quiet: bool = False) -> None:
        """Start the process.

        Args:
            engine: name of the engine.
            folder: of the index, which ``open`` opens.
            quiet: drop what the process writes to standard error, such as the panics of damaged indexes.
        """
        self.engine = engine
        self._folder = folder
        self._quiet = quiet
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self.engine, self._folder, self._quiet), daemon=True
        )
        self._process.start()
        other.close()

    def call(self, method: str, *arguments: object, seconds: float = _ANSWER_SECONDS) -> Answer:
        """Call a method of ``_Served``, or of the engine.

        Raises:
            Died: if the process crashes or does not answer; a new one has then started.
            Exception: the exception of the method.
        """
        try:
            self._pipe.send((method, arguments))
            if not self._pipe.poll(seconds):
                raise EOFError
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.kill()
            self._process.join()
            self._start()
            raise Died(f"{self.engine}: {method}") from error
        if isinstance(answer, Exception):
            raise answer
        return Answer(*answer)

    def trial(self, source: Path, seed: int, expected: Sequence[tuple[str, list[int]]]) -> tuple[str, bool]:
        """Change bits in a copy of an index; see ``_Served.trial``. A crash is an outcome too."""
        try:
            outcome, noticed = self.call("trial", source, seed, expected, seconds=_TRIAL_SECONDS).value
            return str(outcome), bool(noticed)
        except Died:
            return "crash", False

    def close(self) -> None:
        """Close the engine and end the process."""
        self.call("close")
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, engine: str, folder: Path, quiet: bool) -> None:
    if quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    served = _Served(engine, folder)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(served.timed(method, arguments))
        except Exception as error:  # the parent raises it
            pipe.send(error)


class _Served:
    def __init__(self, engine: str, folder: Path) -> None:
        self._name = engine
        self._folder = folder
        self._engine: Engine | None = None
        self._excluded = 0.0
        zipf.words()
        self._before = self._resident()

    def timed(self, method: str, arguments: Sequence[Any]) -> tuple[Any, float, float]:
        if method == "ingest":
            method, arguments = "add", (self._generated(*arguments),)
        own = getattr(self, method, None)
        called = own or getattr(self._engine, method)
        wall, cpu = time.perf_counter(), time.process_time()
        value = called(*arguments)
        return value, time.perf_counter() - wall, time.process_time() - cpu

    def _generated(self, first: int, count: int) -> list[zipf.Row]:
        started = time.thread_time()
        rows = zipf.rows(first, count)
        self._excluded += time.thread_time() - started
        return rows

    def open(self) -> None:
        """Import the engine's package and open the index."""
        self._engine = maker(self._name)(self._folder)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def make_visible(self, row: zipf.Row) -> None:
        """Add a document and find it."""
        assert self._engine is not None
        self._engine.add([row])
        if self._name != "store-alone" and self._engine.search(zipf.own_word(row.row_id), 1) != [row.row_id]:
            raise AssertionError("the engine did not find the document that it has just added")

    def cpu(self) -> float:
        """Return the seconds of CPU time so far, without making the corpus."""
        return time.process_time() - self._excluded

    def analyse(self, first: int, count: int) -> float:
        """Return the seconds of CPU time that the terms of these documents take, without an index."""
        from tandem_gateway.adapters.sqlite.lexical.texts import columns  # noqa: PLC0415

        rows = self._generated(first, count)
        started = time.thread_time()
        for row in rows:
            columns(row.text)
        taken = time.thread_time() - started
        self._excluded += taken
        return taken

    def memory(self) -> Memory:
        """Return the growth of the process's memory since before it imported the engine."""
        now = self._resident()
        return Memory(now.anonymous - self._before.anonymous, now.mapped - self._before.mapped)

    @staticmethod
    def _resident() -> Memory:
        gc.collect()
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return Memory(*(int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")))

    def searches(self, texts: Sequence[str]) -> list[list[int]]:
        assert self._engine is not None
        return [self._engine.search(text, _TOP) for text in texts]

    def removed_found(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """Return how many of the removed documents a search finds, and how many words of theirs the engine counts."""
        assert self._engine is not None
        words = [zipf.own_word(row_id) for row_id in row_ids]
        found = sum(row_id in self._engine.search(word, 1) for row_id, word in zip(row_ids, words, strict=True))
        return found, sum(self._engine.frequency(word) > 0 for word in words)

    def trial(self, source: Path, seed: int, expected: Sequence[tuple[str, list[int]]]) -> tuple[str, bool]:
        """Change bits in a copy of the index and search.

        Returns:
            "error", "wrong" or "same", and whether the error or the engine's own check noticed the damage.
        """
        copy = self._folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        _damage(copy, random.Random(seed))  # noqa: S311
        engine: Engine | None = None
        try:
            engine = maker(self._name)(copy)
            outcome = "same"
            for text, rows in expected:
                if engine.search(text, _TOP) != rows:
                    outcome = "wrong"
            try:
                engine.check()
            except Damaged:
                return outcome, True
            return outcome, False
        except Damaged:
            return "error", True
        finally:
            if engine is not None:
                engine.close()


def _damage(folder: Path, chosen: random.Random) -> None:
    """Change ``CHANGED_BITS`` bits, in places that are equally likely in all files."""
    files = sorted(path for path in folder.iterdir() if path.stat().st_size)
    for path in chosen.choices(files, [path.stat().st_size for path in files], k=CHANGED_BITS):
        with path.open("r+b") as file:
            at = chosen.randrange(path.stat().st_size)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << chosen.randrange(8))]))
