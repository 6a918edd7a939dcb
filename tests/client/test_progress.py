"""How the progress of a bulk ingest is shown."""

import subprocess
import sys

import pytest

from tandem_client import IngestReport
from tandem_client.bulk.progress import shown

HALF = IngestReport(documents=60, accepted=40, skipped=10, failed=2, seconds=2.0)


def test_a_bar_has_numbers_rate_and_failures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with shown(True, 100) as show:
        show(HALF)
    said = capsys.readouterr()
    assert said.out == ""
    assert "50/100" in said.err
    assert "25/s, 12 failed" in said.err


@pytest.mark.parametrize("progress", [None, False])
def test_there_is_no_bar_without_a_terminal(progress: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    with shown(progress, None) as show:
        show(HALF)
    assert capsys.readouterr() == ("", "")


def test_a_function_gets_the_report() -> None:
    seen: list[IngestReport] = []
    with shown(seen.append, None) as show:
        show(HALF)
    assert seen == [HALF]


def test_without_rich_a_bar_is_shown_only_if_it_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with shown(None, None) as show:
        show(HALF)
    with pytest.raises(ModuleNotFoundError, match="rich"):
        shown(True, None)


def test_the_import_loads_no_extra() -> None:
    program = (
        "import sys, tandem_client; print({'rich', 'langchain_core', 'llama_index', 'haystack'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
