"""A word to delete, and helpers that find the files that still contain it."""

from pathlib import Path

from tandem_gateway.adapters.sqlite.checkpoint_schedule import Delays
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME as KEYWORD_FILE
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tests.support.fakes import eventually

KEYWORD_LOG = f"{KEYWORD_FILE}-wal"
LOG = f"{FILE_NAME}-wal"
AT_ONCE = Delays(quiet=0.0, latest=0.0, retry=0.01)
SECRET = "a word that nobody else has: zyzzyva"


def files_with(folder: Path, word: bytes = b"zyzzyva") -> list[str]:
    return [path.name for path in sorted(folder.iterdir()) if path.is_file() and word in path.read_bytes()]


def size_of(path: Path) -> int:
    return path.stat().st_size


async def emptied(log: Path) -> None:
    """Wait until the log is empty."""

    async def size() -> int:
        return size_of(log)

    await eventually(size, lambda found: found == 0)


async def heard(outcomes: list[Outcome], outcome: Outcome, times: int = 1) -> None:
    """Wait until this number of attempts had this outcome."""

    async def count() -> int:
        return outcomes.count(outcome)

    await eventually(count, lambda seen: seen >= times)


async def gone(folder: Path) -> None:
    """Wait until the store's log is empty, then check that no file contains the word."""
    await emptied(folder / LOG)
    assert files_with(folder) == []


def finish(follower: LexicalFollower) -> None:
    while follower.step():
        pass
