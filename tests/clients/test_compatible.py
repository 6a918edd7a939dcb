"""Clients of other services work unchanged against a real gateway; ``compatible/`` has a file for each of them.

To add a client, add its package to ``requirements/clients.in``, and a file ``compatible/<name>_suite.py``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environments import CLIENTS, environment, run_suite
from tests.support.stack import Stack

SUITES = sorted(path.name for path in (CLIENTS / "compatible").glob("*_suite.py"))


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("clients")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir) as running:
        yield running


@pytest.mark.timeout(600)  # the first run downloads the clients
@pytest.mark.parametrize("suite", SUITES)
def test_a_client_works_unchanged(python: Path, stack: Stack, suite: str) -> None:
    run_suite(python, "compatible", suite, stack.client.url)
