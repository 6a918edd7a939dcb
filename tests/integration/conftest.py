"""One pair of services for all tests of this folder; each test has a collection of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import StalledRequest
from tests.support.stack import Client, Stack

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir, gateway_env={"TANDEM_MAX_COLLECTIONS": "1000"}) as stack:
        yield stack


@pytest.fixture(scope="package")
def stalled(stack: Stack) -> Iterator[StalledRequest]:
    """A request whose body stopped half-way; it stays open while the other tests run."""
    with StalledRequest(stack.client.url) as request:
        yield request


@pytest.fixture
def client(stack: Stack, stalled: StalledRequest) -> Client:
    return stack.client


@pytest.fixture
def collection() -> str:
    """A name that no other test uses."""
    return f"c-{next(_numbers)}"
