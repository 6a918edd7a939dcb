"""Files that nobody can trust, in real processes: each fails alone, within its limits."""

import asyncio
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.adapters import file_extraction
from tandem_gateway.adapters.file_extraction import ExtractionLimits, ExtractionProcesses
from tandem_gateway.errors import Overloaded
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tests.gateway.files.samples import docx_with, pdf
from tests.support.fakes import eventually

TASK = ExtractionTask({}, 100)
TWICE = zlib.compress(zlib.compress(b" " * (600 << 20)))
LIMITS = ExtractionLimits(seconds=30.0, memory=512 << 20, chars=100_000, processes=2)


async def read(name: str, content: bytes, limits: ExtractionLimits = LIMITS) -> tuple[Extraction, int]:
    """Return the extraction and the bytes that it held."""
    held: list[int] = []
    found = await ExtractionProcesses(limits).extract(UploadedFile(name, content), TASK, held.append)
    return found, sum(held)


async def test_a_file_is_read_and_its_result_is_held() -> None:
    found, held = await read("a.txt", b"some text")
    assert found == Extraction(b'{"id":"a.txt","text":"some text","metadata":{"file":"a.txt"},"format":"text"}\n')
    assert held == len(found.lines)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bomb.docx", docx_with("word/document.xml", b"<a>" + b" " * (600 << 20) + b"</a>"), "TANDEM_FILE_MIB"),
        (
            "bomb.pdf",
            pdf("x", content=TWICE, filters="/Filter [/FlateDecode /FlateDecode]"),
            "",
        ),
        ("deep.html", b"<b>" * 3_000_000 + b"x", ""),
        ("noise.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 100, "cannot be read as PDF"),
        ("noise.docx", bytes(range(256)) * 100, "cannot be read as docx"),
        ("deep.jsonl", b"[" * 1_000_000, "row 1 is not a JSON object"),
        ("zeros.txt", b"\0" * 1_000_000, "TANDEM_MAX_FILE_CHARS"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)  # fmt: skip
async def test_a_hostile_file_fails_within_the_limits(name: str, content: bytes, reason: str) -> None:
    found, _ = await read(name, content)
    assert found.lines == b""
    assert found.error is not None
    assert reason in found.error


async def test_a_process_that_computes_for_too_long_is_ended_by_its_limit_of_cpu() -> None:
    slow = b"<div>" * 1_000_000 + b"x"
    limits = ExtractionLimits(seconds=1.0, memory=512 << 20, chars=100_000, processes=1)
    found, _ = await read("slow.html", slow, limits)
    assert found == Extraction(error="takes more than 1 s (TANDEM_FILE_SECONDS)")


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Put a program that waits in place of the interpreter; the list gets its processes."""
    program = tmp_path / "endless"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o700)
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(file_extraction.sys, "executable", str(program))
    monkeypatch.setattr(file_extraction.subprocess, "Popen", Recorded)
    return started


async def test_a_process_that_waits_is_killed_at_the_deadline(endless: list[subprocess.Popen[bytes]]) -> None:
    limits = ExtractionLimits(seconds=0.2, memory=512 << 20, chars=100, processes=1)
    found, _ = await read("a.txt", b"x", limits)
    assert found == Extraction(error="takes more than 200 ms (TANDEM_FILE_SECONDS)")
    assert [process.returncode for process in endless] == [-signal.SIGKILL]


async def test_a_cancellation_kills_the_process(endless: list[subprocess.Popen[bytes]]) -> None:
    async def started() -> int:
        return len(endless)

    task = asyncio.create_task(read("a.txt", b"x"))
    await eventually(started, bool)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [process.returncode for process in endless] == [-signal.SIGKILL]


async def test_an_error_of_hold_ends_the_process_and_is_raised() -> None:
    def refuse(size: int) -> None:
        raise Overloaded("no memory")

    with pytest.raises(Overloaded, match="no memory"):
        await ExtractionProcesses(LIMITS).extract(UploadedFile("a.txt", b"x"), TASK, refuse)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_process_that_dies_fails_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    program = tmp_path / "dying"
    program.write_text(f"#!/bin/sh\nkill -{int(number)} $$\n")
    program.chmod(0o700)
    monkeypatch.setattr(file_extraction.sys, "executable", str(program))
    found, _ = await read("a.txt", b"x" * (1 << 20))
    assert found.error == "cannot be read: its parser has failed; the file is damaged or too complex"


async def test_a_process_that_says_too_much_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "talking"
    program.write_text("#!/bin/sh\ncat > /dev/null\nexec cat /dev/zero\n")
    program.chmod(0o700)
    monkeypatch.setattr(file_extraction.sys, "executable", str(program))
    found, held = await read("a.txt", b"x", ExtractionLimits(30.0, 512 << 20, 10, 1))
    assert found.error is not None
    assert held <= 60 + 100 * (8 << 10)


async def test_the_process_gets_no_secret_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "telling"
    program.write_text("#!/bin/sh\ncat > /dev/null\nenv\n")
    program.chmod(0o700)
    monkeypatch.setenv("TANDEM_ADMIN_TOKEN", "a-token-for-operators-only")
    monkeypatch.setattr(file_extraction.sys, "executable", str(program))
    found, _ = await read("a.txt", b"x")
    assert b"PATH=" in found.lines
    assert b"TANDEM" not in found.lines


async def test_a_program_that_cannot_start_is_an_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_extraction.sys, "executable", "/nowhere")
    with pytest.raises(Overloaded, match="could not be started"):
        await read("a.txt", b"x")


def test_the_process_limits_itself() -> None:
    program = (
        "import resource, sys; from tandem_gateway.extraction.process import limit_process; limit_process(1 << 28, 7);"
        "names = ('AS', 'CPU', 'CORE', 'FSIZE', 'NPROC', 'NOFILE');"
        "print([resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in names]);"
        "print(open('/proc/self/oom_score_adj').read())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    limits, score = done.stdout.split("\n", 1)
    assert limits == f"[({1 << 28}, {1 << 28}), (7, 8), (0, 0), (0, 0), (0, 0), (64, 64)]"
    assert int(score) == 1000


async def test_a_format_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_extraction.importlib.util, "find_spec", lambda name: None)
    for name in ("a.pdf", "a.docx", "a.html"):
        found, _ = await read(name, b"x")
        assert found.error is not None
        assert "pip install 'tandem-services[gateway,files]'" in found.error
    assert (await read("a.md", b"x"))[0].error is None
