"""Each example in the help of a command does what it says, with a real gateway."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_cli import commands
from tandem_cli.help import EXAMPLES
from tests.cli.conftest import DOCUMENTS, Tandem
from tests.support.stack import Client, Stack

pytestmark = pytest.mark.slow

commands.load()
ALL = [line for lines in EXAMPLES.values() for line in lines]
OF_KEYS = [line for line in ALL if line.startswith("tandem keys ")]
OF_DEV = [line for line in ALL if line.startswith("tandem dev ")]
"""tests/e2e runs these."""
OTHERS = [line for line in ALL if line not in OF_KEYS and line not in OF_DEV]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    made = tmp_path_factory.mktemp("examples")
    (made / "books.jsonl").write_text(
        '{"id": "emma", "text": "Emma Woodhouse, handsome, clever, and rich.", "year": 1815}\n'
    )
    (made / "notes").mkdir()
    (made / "notes" / "tea.md").write_text("# Tea\n\nSteep the leaves.\n")
    (made / "notes" / "page.html").write_text(
        "<html><title>Cups</title><body><h1>Cups</h1><p>Warm the cup.</p></body></html>"
    )
    (made / "queries.jsonl").write_text('{"id": "q1", "text": "a clever heroine"}\n')
    (made / "qrels.txt").write_text("q1 0 emma 2\n")
    (made / "clicks.jsonl").write_text('{"query": "a clever heroine", "clicked": ["emma"]}\n')
    return made


@pytest.fixture(scope="module")
def prepared(stack: Stack) -> Iterator[Stack]:
    """What the examples need, whichever ran before."""
    books = [{"id": "emma", "text": "Emma Woodhouse, handsome, clever, and rich."}]
    for name in ("books", "books-new"):
        stack.client.ingest_and_wait(books, name)
    yield stack
    stack.client.ingest_and_wait(DOCUMENTS)


def run(tandem: Tandem, line: str, url: str, *more: str) -> tuple[int, str, str]:
    before, _, command = line.rpartition(" | ")
    stdin = shlex.split(before)[1].encode() if before else b""
    program, *arguments = shlex.split(command)
    assert program == "tandem"
    remote = [] if arguments[0] in ("backup", "restore", "dev") else ["--url", url]
    done = tandem(*arguments, *remote, *more, stdin=stdin)
    return done.status, done.out, done.err


def test_there_are_examples_of_all_commands() -> None:
    assert len(OTHERS) > 20
    assert OF_DEV
    assert OF_KEYS


@pytest.mark.parametrize("line", OTHERS)
def test_an_example_succeeds(
    line: str, prepared: Stack, tandem: Tandem, folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared.client.ingest_and_wait(DOCUMENTS)
    monkeypatch.chdir(folder)
    if line.startswith("tandem backup"):
        monkeypatch.setenv("TANDEM_DATA_DIR", str(prepared.data_dir))
    if line.startswith("tandem restore"):
        shutil.copyfile(copy, folder / "restored.sqlite3")
        line = line.replace("backup.sqlite3", "restored.sqlite3")
    status, out, err = run(tandem, line.replace("JOB_ID", job.job_id), prepared.client.url)
    if line == "tandem jobs retry JOB_ID":  # nothing has failed
        assert (status, out) == (1, "")
        assert "409" in err
        return
    assert status == 0, err
    # A program gets results alone on standard output; the gateway's own commands print by themselves.
    assert out or line.startswith(("tandem backup", "tandem restore"))
    assert err == ""


@pytest.mark.parametrize("line", OF_KEYS)
def test_an_example_of_keys_succeeds(line: str, locked: Client, tandem: Tandem) -> None:
    key = ["--api-key", "a-key-of-the-tests-0123456789abcdef"]
    made = tandem("keys", "create", "--name", "x", "--role", "search", "--json", "--url", locked.url, *key)
    key_id = made.out.split('"id": "')[1].split('"')[0]
    status, out, err = run(tandem, line.replace("KEY_ID", key_id), locked.url, *key)
    assert status == 0, err
    assert out


@pytest.mark.parametrize("line", OF_DEV)
def test_an_example_of_dev_has_options_that_exist(line: str, tandem: Tandem) -> None:
    status, out, _ = run(tandem, line, "", "--help")
    assert status == 0
    assert line in out
