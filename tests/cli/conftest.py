"""A gateway with documents, and a function that runs the command line in this process."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tandem_cli.__main__ import main
from tests.support.stack import Client, Stack, gateway_process

DOCUMENTS = [
    {"id": "mat", "text": "The cat sat on the mat.", "metadata": {"page": 1, "tags": ["pets", "prose"]}},
    {"id": "tea", "text": "Steep the leaves for three minutes.", "metadata": {"page": 7}},
]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


Tandem = Callable[..., Done]


@pytest.fixture(scope="package")
def stack(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir) as running:
        running.client.ingest_and_wait(DOCUMENTS)
        yield running


@pytest.fixture(scope="package")
def copy(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the gateway's store."""
    made = tmp_path_factory.mktemp("backup") / "copy"
    assert main(["backup", str(made), "--data-dir", str(stack.data_dir)]) == 0
    return made


@pytest.fixture(scope="package")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A gateway with access control and without an embedder; its client has no key."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "key").write_text("a-key-of-the-tests-0123456789abcdef")
    process, client = gateway_process(
        folder, folder / "data", "http://127.0.0.1:9", env={"TANDEM_API_KEY_FILE": str(folder / "key")}
    )
    with process, client:
        yield client


@pytest.fixture
def tandem(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tandem:
    """Run the command line with arguments and with standard input."""
    for name in ("TANDEM_URL", "TANDEM_API_KEY", "TANDEM_API_KEY_FILE", "TANDEM_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = main(arguments)
        told = capsys.readouterr()
        return Done(status, told.out, told.err)

    return run
