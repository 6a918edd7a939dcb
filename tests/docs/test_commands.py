"""The curl commands of the README and docs/ return the replies that the pages show."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, README, commands, name, pages
from tests.support.stack import Stack

# Minimum number of replies that the pages show: ingest, job, documents of the job, searches, patch, deletion, error.
SHOWN = {README: 2, DOCS / "quickstart.md": 1, DOCS / "api.md": 13}


@pytest.fixture
def stack(model_dir: Path, tmp_path: Path) -> Iterator[Stack]:
    """Services without data: for an existing document, the replies would differ from those of the page."""
    with Stack(tmp_path, model_dir) as running:
        yield running


def test_the_pages_with_commands_are_known() -> None:
    tutorials = set((DOCS / "tutorials").glob("*.md"))  # test_tutorials.py runs their commands
    assert {page for page in pages() if commands(page)} - tutorials == set(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_its_curl_commands_return_the_shown_replies(page: Path, stack: Stack, tmp_path: Path) -> None:
    """Run each command against real services. A reply must have the shape of the page's, a search also its content."""
    job_id = ""
    shown = 0
    for command, reply in commands(page):
        real = command.replace("http://localhost:8000", stack.client.url)
        real = real.replace("http://localhost:8080", stack.embedder_url).replace("$JOB_ID", job_id)
        bash = ["bash", "-ec", real]
        done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        if "job_id" in answer:
            stack.client.wait_job(answer["job_id"])
            if "files" not in answer:  # the pages go on with the job of the first documents
                job_id = answer["job_id"]
        if reply is not None:
            shown += 1
            expected = json.loads(reply)
            assert shape(answer) == shape(expected), command
            if "results" in expected:
                names = "index" if "index" in expected["results"][0] else "id"
                assert [hit[names] for hit in answer["results"]] == [hit[names] for hit in expected["results"]]
            if list(expected) == ["error"]:
                assert answer == expected
        else:
            assert answer.get("error") is None, command
            assert answer.get("results") != [], command
    assert shown == SHOWN[page]


def shape(value: Any) -> Any:
    """Return the names and types in a JSON value; both kinds of numbers and null count as one type each."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
