"""The process: reads a task and a file from its standard input, and writes documents to its standard output.

Standard input is a ``Task`` as one line of JSON, then the file's bytes. Standard output is one line of JSON for each
document, in the shape of a document of an ingest. If the file cannot be read, it is the reason, and the exit status is
``REFUSED``. The process writes nothing before it has read the whole file.
"""

import importlib
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from tandem_gateway.extraction.formats import format_of
from tandem_gateway.extraction.pieces import Piece, Unreadable

REFUSED: Final = 3
"""Exit status: the file cannot be read."""
OUT_OF_MEMORY: Final = 4
"""Exit status: the file needs more memory than the process may have."""

_MAX_ERROR_CHARS: Final = 300
_OPEN_FILES: Final = 64
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")

_MODULES: Final = {
    "text": ("plain", "text"),
    "markdown": ("plain", "markdown"),
    "html": ("html", "html"),
    "csv": ("rows", "csv"),
    "jsonl": ("rows", "jsonl"),
    "pdf": ("pdf", "pdf"),
    "docx": ("docx", "docx"),
}
"""Name of a format → module of this package and its function, which is imported in the process only."""


class Task(msgspec.Struct, frozen=True):
    """What to do with a file.

    Attributes:
        name: the file's name.
        metadata: field → value for all its documents, as JSON.
        max_chars: maximum number of characters of all its texts and metadata.
        max_documents: maximum number of its documents.
    """

    name: str
    metadata: dict[str, msgspec.Raw]
    max_chars: int
    max_documents: int


class _Document(msgspec.Struct, frozen=True):
    id: str
    text: str
    metadata: msgspec.Raw
    format: str


def main() -> NoReturn:
    """Run the process; the arguments are the bytes of memory and the seconds of CPU that it may use."""
    limit_process(int(sys.argv[1]), int(sys.argv[2]))
    try:
        task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
        lines = documents(task, sys.stdin.buffer.read())
    except Unreadable as error:
        sys.stdout.buffer.write(str(error)[:_MAX_ERROR_CHARS].encode(errors="replace"))
        sys.exit(REFUSED)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except RecursionError:
        sys.stdout.buffer.write(b"is nested too deeply")
        sys.exit(REFUSED)
    for line in lines:
        sys.stdout.buffer.write(line)
    sys.exit(0)


def limit_process(memory: int, cpu_seconds: int) -> None:
    """Limit this process: address space in bytes, CPU in seconds, no core, no file that grows, no child.

    If the container is out of memory, the kernel ends this process before the gateway.
    """
    with suppress(OSError):  # /proc may be hidden
        _OOM_SCORE.write_text("1000")
    # Its own signal, SIGXCPU, ends a process at the soft limit, so that the gateway knows the reason.
    _, most_cpu = resource.getrlimit(resource.RLIMIT_CPU)
    if most_cpu == resource.RLIM_INFINITY or most_cpu > cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _, most = resource.getrlimit(limit)
        lowest = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (lowest, lowest))


def documents(task: Task, content: bytes) -> list[bytes]:
    """Return the documents of a file, as lines of JSON.

    Raises:
        Unreadable: the file cannot be read, or has more text or documents than allowed.
    """
    lines: list[bytes] = []
    chars = 0
    for piece in _pieces(task.name, content):
        # In one line, which raw JSON of a client need not be; numbers keep all their digits.
        metadata = msgspec.json.format(msgspec.json.encode(_metadata(task, piece)), indent=-1)
        chars += len(piece.text) + len(metadata) + len(piece.row_id or "")
        if chars > task.max_chars:
            raise Unreadable(f"has more than {task.max_chars} characters of text and metadata (TANDEM_MAX_FILE_CHARS)")
        if len(lines) == task.max_documents:
            raise Unreadable(f"has more than {task.max_documents} rows or pages (TANDEM_MAX_DOCUMENTS_PER_REQUEST)")
        name = task.name if piece.number is None else f"{task.name}#{piece.number}"
        document = _Document(piece.row_id or name, _characters(piece.text), msgspec.Raw(metadata), piece.format)
        lines.append(msgspec.json.encode(document) + b"\n")
    return lines


def _pieces(name: str, content: bytes) -> Iterator[Piece]:
    found = format_of(name)
    assert found is not None, "the gateway refuses other formats"
    module, function = _MODULES[found.name]
    extractor: Callable[[bytes], Iterator[Piece]] = getattr(
        importlib.import_module(f"tandem_gateway.extraction.{module}"), function
    )
    for piece in extractor(content):
        if not piece.text or piece.text.isspace():
            place = f"row {piece.number} has" if piece.number is not None else "has"
            raise Unreadable(f"{place} no text")
        yield piece


def _metadata(task: Task, piece: Piece) -> dict[str, Any]:
    if "file" in piece.metadata:
        raise Unreadable("has a column 'file', which is the name of the file in its documents' metadata; rename it")
    found = {name: _characters(value) if isinstance(value, str) else value for name, value in piece.metadata.items()}
    return {**task.metadata, **found, "file": task.name}


def _characters(text: str) -> str:
    """Return a text with a question mark for each half of a surrogate pair, which a PDF can have and UTF-8 cannot."""
    return text if text.isascii() else text.encode(errors="replace").decode()
