"""The examples of docs/python-client.md and of the package's page are true, and the page has every argument."""

import inspect
import re
from pathlib import Path

import pytest

from tandem_client import Client, errors
from tandem_client.bulk.batches import Tuning

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "python-client.md"
# The tests in the environments of the frameworks run the examples of the adapters.
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text().partition("\n## Adapters\n")[0], re.MULTILINE | re.DOTALL
)
README = (REPOSITORY / "clients" / "python" / "README.md").read_text()


def run(example: str, url: str, collection: str) -> None:
    real = example.replace("http://localhost:8000", url).replace('"books"', f'"{collection}"')
    exec(compile(real, "example", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_it_says(
    example: str,
    url: str,
    collection: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run(example, url, collection)
    said = "".join(f"{line}\n" for line in re.findall(r"^# (.*)$", example, re.MULTILINE))
    assert said
    assert capsys.readouterr().out == said


def test_the_example_of_the_readme_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    run(example, url, "default")
    assert capsys.readouterr().out == "The cat sat on the mat.\n"


def test_the_page_has_all_arguments_methods_and_exceptions() -> None:
    page = PAGE.read_text()
    arguments = set(inspect.signature(Client.__init__).parameters) - {"self"}
    methods = {name for name in dir(Client) if not name.startswith("_")} - {
        "close",
        "send",
        "run",
        "settings",
        "position",
    }
    kinds = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    for name in arguments | methods | kinds | set(Tuning.__annotations__):
        assert re.search(rf"\b{name}\b", page), name
