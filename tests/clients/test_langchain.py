"""LangChain's standard tests of vector stores pass against a real gateway; see ``langchain/standard_suite.py``."""

import subprocess
import sys
from pathlib import Path

import pytest

from tandem_tools.process import inherited_environment
from tests.support.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).resolve().parent / "langchain"


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of LangChain's environment, which is made if it is missing or its requirements have changed."""
    made = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", "setup-langchain"],
        cwd=REPOSITORY,
        env=inherited_environment("MAKE", "MFLAGS"),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    if made.returncode:
        pytest.fail(f"the environment of LangChain cannot be made:\n{made.stdout}{made.stderr}", pytrace=False)
    return REPOSITORY / ".venv-langchain" / "bin" / "python"


@pytest.mark.timeout(600)  # the first run downloads LangChain
def test_the_standard_tests_of_vector_stores_pass(python: Path, model_dir: Path, tmp_path: Path) -> None:
    with Stack(tmp_path, model_dir) as stack:
        done = subprocess.run(
            [python, "-I", "-m", "pytest", "-c", SUITE / "pytest.ini", SUITE / "standard_suite.py"],
            cwd=SUITE,
            env={
                **inherited_environment("TANDEM_", "PYTEST_", "LANGCHAIN_", "LANGSMITH_"),
                "TANDEM_TEST_URL": stack.client.url,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    summary = done.stdout.splitlines()[-1]
    assert "passed" in summary, done.stdout
    assert "skipped" not in summary, done.stdout
    assert "xfailed" not in summary, done.stdout
