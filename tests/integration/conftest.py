"""One pair of services for all tests of this folder; each test has its own collection."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import HALF_A_HEAD, StalledRequest
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


@pytest.fixture(scope="package")
def stalled_heads(stack: Stack) -> Iterator[dict[str, StalledRequest]]:
    """Half a head, no bytes, or only empty lines, sent to each service; these connections stay open as well."""
    with contextlib.ExitStack() as opened:
        yield {
            f"{what} of the {name}": opened.enter_context(StalledRequest(url, sent))
            for name, url in (("gateway", stack.client.url), ("embedder", stack.embedder_url))
            for what, sent in (("head", HALF_A_HEAD), ("silence", b""), ("empty lines", b"\r\n\r\n"))
        }


@pytest.fixture
def client(stack: Stack, stalled: StalledRequest, stalled_heads: dict[str, StalledRequest]) -> Client:
    return stack.client


@pytest.fixture
def collection() -> str:
    """A collection name that no other test uses."""
    return f"c-{next(_numbers)}"
