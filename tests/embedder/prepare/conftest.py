"""Fixtures for the tests of the preparation."""

from pathlib import Path

import pytest

from tandem_embedder.prepare.progress import Progress
from tests.embedder.prepare.tiny_bert import write_folder


class Recorder(Progress):
    """Collects the printed lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def report(self, line: str) -> None:
        self.lines.append(line)

    @property
    def on_terminal(self) -> bool:
        return False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a tiny BERT for this test only."""
    return write_folder(tmp_path / "tiny")
