"""Reads files in processes of their own, each with limits on memory, CPU and time.

The processes start from threads by ``subprocess``, which uses ``vfork``. The event loop's own way forks, which copies
the page table: with 1.5 GiB of memory in use, that stops the event loop for 95 ms for each file, and ``vfork`` takes
0.3 ms.
"""

import asyncio
import importlib.util
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

import msgspec

from tandem_gateway.errors import Overloaded
from tandem_gateway.extraction.formats import EXTRA, FORMATS, format_of
from tandem_gateway.extraction.process import OUT_OF_MEMORY, REFUSED, Task
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_runtime.durations import duration

_PIECE_BYTES: Final = 64 << 10
# JSON takes at most six bytes for a character, and a document has an id and names of fields.
_BYTES_PER_CHAR: Final = 6
_BYTES_PER_DOCUMENT: Final = 8 << 10
_KEPT_VARIABLES: Final = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
"""All of the environment that the process gets: no secret is among them."""


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """Limits of the processes.

    Attributes:
        seconds: maximum seconds that a process takes, of time and of CPU.
        memory: maximum bytes of its address space.
        chars: maximum number of characters that it returns.
        processes: number of processes at a time.
    """

    seconds: float
    memory: int
    chars: int
    processes: int


class ExtractionProcesses:
    """Implements ``FileExtractor``: ``python -m tandem_gateway.extraction`` for each file; one event loop owns it."""

    def __init__(self, limits: ExtractionLimits) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(limits.processes)
        # Threads of its own, which wait for processes: the default ones read bodies and answer searches.
        self._threads = ThreadPoolExecutor(limits.processes, thread_name_prefix="file-extraction")
        packages = {found.package for found in FORMATS.values() if found.package is not None}
        self._missing = {package for package in packages if importlib.util.find_spec(package) is None}

    @property
    def at_once(self) -> int:
        """Number of processes at a time."""
        return self._limits.processes

    async def extract(self, file: UploadedFile, task: ExtractionTask, hold: Callable[[int], None]) -> Extraction:
        """Return the documents of a file; see ``FileExtractor.extract``."""
        found = format_of(file.name)
        if found is None:
            return Extraction(error=f"its name has to end in one of {', '.join(FORMATS)}")
        if found.package in self._missing:
            return Extraction(
                error=f"the gateway reads {found.name} only with its extra {EXTRA!r}, which is not installed: "
                f"pip install 'tandem-services[gateway,{EXTRA}]'"
            )
        async with self._free:
            run = _Run(self._limits, file, task, hold)
            work = asyncio.get_running_loop().run_in_executor(self._threads, run.result)
            try:
                async with asyncio.timeout(self._limits.seconds):
                    return await asyncio.shield(work)
            except TimeoutError:
                return Extraction(error=f"takes more than {duration(self._limits.seconds)} (TANDEM_FILE_SECONDS)")
            finally:
                if not work.done():
                    run.stop()
                    await asyncio.wait([work])
                    if not work.cancelled():
                        work.exception()  # nobody else looks at it


class _Run:
    """One process; a thread runs it, and any thread may stop it."""

    def __init__(
        self, limits: ExtractionLimits, file: UploadedFile, task: ExtractionTask, hold: Callable[[int], None]
    ) -> None:
        self._limits = limits
        self._file = file
        self._task = Task(file.name, dict(task.metadata), limits.chars, task.max_documents)
        self._most = _BYTES_PER_CHAR * limits.chars + _BYTES_PER_DOCUMENT * task.max_documents
        self._hold = hold
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Kill the process, now or as soon as it starts."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                _kill(self._process)

    def result(self) -> Extraction:
        """Return the documents of the file; blocks."""
        with self._lock:
            if self._stopped:
                return Extraction(error="was not read")
            self._process = process = self._start()
        try:
            with process:
                output = self._talk(process)
        finally:
            with self._lock:
                if process.returncode is None:  # ``hold`` has raised
                    _kill(process)
                    process.wait()
        return self._extraction(process.returncode, output)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-B", "-m", "tandem_gateway.extraction",
            str(self._limits.memory), str(math.ceil(self._limits.seconds)),
        ]  # fmt: skip
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            return subprocess.Popen(  # noqa: S603 - no part of the command is a client's
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # a signal of the terminal goes to the gateway only
            )
        except OSError as error:  # out of file descriptors, processes or memory
            raise Overloaded(f"the process that reads a file could not be started: {error.strerror}") from error

    def _talk(self, process: subprocess.Popen[bytes]) -> bytes | None:
        """Send the file and return the output; None if there is more than a process can rightly have."""
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError), process.stdin:  # a process that ended early has told why, or its status does
            process.stdin.write(msgspec.json.encode(self._task) + b"\n")
            _write(process.stdin, self._file.content)
        output = bytearray()
        # Unbuffered reads, which return what is there.
        while piece := os.read(process.stdout.fileno(), _PIECE_BYTES):
            if len(output) + len(piece) > self._most:
                _kill(process)
                return None
            try:
                self._hold(len(piece))
            except BaseException:
                _kill(process)
                raise
            output += piece
        return bytes(output)

    def _extraction(self, status: int, output: bytes | None) -> Extraction:
        if status == 0 and output is not None:
            return Extraction(output)
        if status == REFUSED and output is not None:
            return Extraction(error=output.decode(errors="replace"))
        if status == OUT_OF_MEMORY:
            return Extraction(error=f"needs more than {self._limits.memory >> 20} MiB (TANDEM_FILE_MIB)")
        if status == -signal.SIGXCPU:
            return Extraction(error=f"takes more than {duration(self._limits.seconds)} (TANDEM_FILE_SECONDS)")
        return Extraction(error="cannot be read: its parser has failed; the file is damaged or too complex")


def _write(pipe: IO[bytes], content: bytes | bytearray) -> None:
    with memoryview(content) as view:
        for begin in range(0, len(view), _PIECE_BYTES):
            pipe.write(view[begin : begin + _PIECE_BYTES])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and whatever it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
