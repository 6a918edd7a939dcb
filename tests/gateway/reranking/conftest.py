"""A rerank server as a real process, which the tests of this folder share."""

import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.support.rerank_server import rerank_server, url_of

Fault = Callable[[str], None]


@pytest.fixture(scope="package")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rerank_server(tmp_path_factory.mktemp("reranker")) as server:
        yield url_of(server)


@pytest.fixture
def fault(server_url: str) -> Iterator[Fault]:
    """Makes the server fail in a way of ``rerank_server.FAULTS``, until the test ends."""

    def set_fault(name: str) -> None:
        urllib.request.urlopen(f"{server_url}/fault", name.encode(), timeout=20).close()

    yield set_fault
    set_fault("none")
