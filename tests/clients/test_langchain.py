"""LangChain's standard tests pass against a real gateway; see ``langchain/standard_suite.py``."""

from pathlib import Path

import pytest

from tests.clients.environments import environment, run_suite
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("langchain")


@pytest.mark.timeout(600)  # the first run downloads LangChain
def test_the_standard_tests_pass(python: Path, model_dir: Path, tmp_path: Path) -> None:
    with Stack(tmp_path, model_dir) as stack:
        run_suite(python, "langchain", "standard_suite.py", stack.client.url)
