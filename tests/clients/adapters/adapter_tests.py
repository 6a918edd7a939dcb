"""What the suites of the Python client's adapters have in common; a suite names it in ``pytest_plugins``."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tandem_client import Client

URL = os.environ["TANDEM_TEST_URL"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "python-client.md"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with Client(URL) as client:
        yield client


@pytest.fixture
def collection(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A collection name that no other test uses."""
    name = f"{request.path.stem.replace('_', '-')}-{next(_numbers)}"
    yield name
    client.delete_collection(name)


@pytest.fixture
def check_example(collection: str, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Run the example of a framework in docs/python-client.md; it prints what the page says."""

    def check(framework: str) -> None:
        section = PAGE.read_text().split(f"\n### {framework}\n")[1].split("\n## ")[0].split("\n### ")[0]
        ((example, printed),) = re.findall(r"^```python\n(.*?)# (.*?)\n```$", section, re.MULTILINE | re.DOTALL)
        real = example.replace("http://localhost:8000", URL).replace('"books"', f'"{collection}"')
        assert real.count(URL) == real.count(collection) == 1
        exec(compile(real, "example", "exec"), {})
        assert capsys.readouterr().out == f"{printed}\n"

    return check
