"""One pair of services for all tests of the Python client, and clients of it; each test has its own collection."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tandem_client import AsyncClient, Client
from tests.support.stack import Stack

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir) as stack:
        yield stack


@pytest.fixture(scope="package")
def url(stack: Stack) -> str:
    """URL of a gateway without access control."""
    return stack.client.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture
async def async_client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url) as client:
        yield client


@pytest.fixture
def collection() -> str:
    """A collection name that no other test uses."""
    return f"client-{next(_numbers)}"
