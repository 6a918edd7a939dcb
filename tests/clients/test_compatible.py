"""Clients of other services work unchanged against a real gateway; ``compatible/`` has a file for each of them.

To add a client, add its package to ``requirements/clients.in``, and a file ``compatible/<name>_suite.py``. A second
gateway has access control; both use one embedder.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.environments import CLIENTS, REPOSITORY, environment, run_suite, settings
from tests.support.stack import Stack, gateway_process, wait_until

SUITES = sorted(path.name for path in (CLIENTS / "compatible").glob("*_suite.py"))
PAGE = (REPOSITORY / "docs" / "clients.md").read_text()
EXAMPLES = dict(re.findall(r"^### ([^\n]+)\n(?:(?!^#)[\s\S])*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
ADMIN_KEY = "a-key-from-outside-of-32-characters"


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("clients")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """URL and key of a gateway with access control, as the suites read them."""
    folder = tmp_path_factory.mktemp("guarded")
    process, client = gateway_process(folder, folder / "data", stack.embedder_url, env={"TANDEM_API_KEY": ADMIN_KEY})
    client.http.headers["authorization"] = f"Bearer {ADMIN_KEY}"
    with process:
        process.wait_ready()
        wait_until(lambda: client.health().model_loaded, "the gateway sees the embedder")
        made = client.http.post("/v1/admin/keys", json={"name": "client", "role": "search"})
        yield {"TANDEM_TEST_GUARDED_URL": client.url, "TANDEM_TEST_KEY": made.json()["key"]}
        client.close()


@pytest.mark.timeout(600)  # the first run downloads the clients
@pytest.mark.parametrize("suite", SUITES)
def test_a_client_works_unchanged(python: Path, stack: Stack, guarded: Mapping[str, str], suite: str) -> None:
    run_suite(python, "compatible", suite, stack.client.url, guarded)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", EXAMPLES)
def test_an_example_of_the_documentation_is_true(python: Path, stack: Stack, client: str) -> None:
    code = EXAMPLES[client].replace("http://localhost:8000", stack.client.url)
    assert stack.client.url in code
    done = subprocess.run(
        [python, "-I", "-c", code], env=settings(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == ("1" if client == "Cohere" else "384")


def test_every_example_is_run_and_every_client_is_in_the_table_with_its_version() -> None:
    assert len(EXAMPLES) == PAGE.count("```python")
    locked = dict(
        re.findall(r"^([\w-]+)==(\S+)", (REPOSITORY / "requirements" / "clients.txt").read_text(), re.MULTILINE)
    )
    wanted = [
        line.split(">")[0]
        for line in (REPOSITORY / "requirements" / "clients.in").read_text().splitlines()
        if ">" in line
    ]
    assert [name for name in wanted if f"| {locked[name]} |" not in PAGE] == []
