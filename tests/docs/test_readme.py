"""What the README shows is so: its settings, its targets, its commands and their replies."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.readme import README, REPOSITORY, commands, tables
from tests.support.stack import Stack


@pytest.mark.parametrize("service", ["gateway", "embedder"])
def test_the_settings_tables_are_those_of_the_code(service: str) -> None:
    assert tables()[service] in README.read_text(), "run: python -m tests.docs.readme"


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", README.read_text(), re.MULTILINE))
    assert {"demo", "test", "run", "check"} <= named
    assert named <= targets


def test_every_file_that_it_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (REPOSITORY / target).exists(), target


@pytest.fixture(scope="module")
def stack(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("readme"), model_dir) as running:
        yield running


def test_its_curl_commands_answer_what_it_shows(stack: Stack) -> None:
    """Run each command against real services; a reply must have the shape that is shown, a search its content."""
    job_id = ""
    shown = 0
    for command, reply in commands():
        real = command.replace("http://localhost:8000", stack.client.url)
        real = real.replace("http://localhost:8080", stack.embedder_url).replace("$JOB_ID", job_id)
        done = subprocess.run(["bash", "-ec", real], capture_output=True, text=True, timeout=60, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        if "job_id" in answer:
            job_id = answer["job_id"]
            stack.client.wait_job(job_id)
        if reply is not None:
            shown += 1
            expected = json.loads(reply)
            assert shape(answer) == shape(expected), command
            if "results" in expected:
                assert [hit["id"] for hit in answer["results"]] == [hit["id"] for hit in expected["results"]]
            if list(expected) == ["error"]:
                assert answer == expected
        else:
            assert "error" not in answer, command
    assert shown >= 4


def shape(value: Any) -> Any:
    """Return the names and types in a JSON value; numbers of both kinds and null are one type each."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
