"""Environments of clients, which must not meet the packages and plugins of the main suite, and runs of their tests."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tandem_tools.process import inherited_environment
from tests.support.making import make

REPOSITORY = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).resolve().parent


def environment(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is missing or its requirements have changed.

    Args:
        name: of the environment; ``requirements/<name>.txt`` has its packages, and ``make setup-<name>`` makes it.
    """
    make(f"setup-{name}")
    return REPOSITORY / f".venv-{name}" / "bin" / "python"


def settings() -> dict[str, str]:
    """Return the environment variables without those that the clients read, and without telemetry."""
    inherited = inherited_environment(
        "TANDEM_", "PYTEST_", "LANGCHAIN_", "LANGSMITH_", "OPENAI_", "AZURE_OPENAI_", "OLLAMA_", "CO_API_",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    )  # fmt: skip
    return {**inherited, "HAYSTACK_TELEMETRY_ENABLED": "False"}


def run_suite(python: Path, folder: str, file: str, url: str, more: Mapping[str, str] | None = None) -> None:
    """Run the tests of a file against a gateway; fail unless all of them pass.

    Args:
        python: interpreter of their environment.
        folder: folder of the file beside this one, with its ``pytest.ini``.
        file: name of the file.
        url: of the gateway.
        more: environment variables of the tests, beside ``TANDEM_TEST_URL``.
    """
    suite = CLIENTS / folder
    done = subprocess.run(
        [python, "-I", "-m", "pytest", "-c", suite / "pytest.ini", suite / file],
        cwd=suite,
        env={**settings(), "TANDEM_TEST_URL": url, **(more or {})},
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
