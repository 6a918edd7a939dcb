"""One version: pyproject.toml defines it; every other place equals it or derives from it."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import tandem_gateway
from tandem_gateway.metrics.gateway import Metrics
from tandem_runtime.version import DISTRIBUTION, version
from tests.deploy.versions import PLACES, REPOSITORY, VERSION, current, main, named, semver, write

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_the_installed_package_is_of_this_version() -> None:
    assert PYPROJECT["project"]["name"] == DISTRIBUTION
    assert version() == PYPROJECT["project"]["version"] == current(), "run: make setup"
    assert tandem_gateway.__version__ == version()


def test_code_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_installed)
    assert version() == "unknown"


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("tandem_gateway", "tandem-gateway"),
        ("tandem_embedder", "tandem-embedder"),
        ("tandem_embedder.prepare", "tandem-prepare"),
    ],
)
def test_each_command_prints_its_version(module: str, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{command} {current()}\n"


@pytest.mark.parametrize("module", ["tandem_gateway", "tandem_embedder"])
def test_a_wrong_argument_is_reported_in_two_lines(module: str) -> None:
    """The settings' flags would fill a screen before the error."""
    command = [sys.executable, "-m", module, "serve"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 2
    assert "serve" in done.stderr


def test_every_place_names_this_version() -> None:
    assert [(str(path), found) for path, _, found in named() if found != current()] == [], (
        f"run: make version NEW={current()}"
    )


def test_every_kind_of_place_is_there() -> None:
    """A pattern without a match would compare nothing."""
    assert {place for _, place, _ in named()} >= set(PLACES[:-1])
    assert {path.name for path, _, _ in named() if "deploy" in path.parts} >= {"compose.yml", "kustomization.yaml"}


def test_no_other_line_of_the_deployment_names_a_version_of_tandem() -> None:
    known = sum(len(re.findall(re.escape(current()), found)) for _, _, found in named())
    files = [path for name in ("deploy/**/*.y*ml", "services/*/Dockerfile") for path in REPOSITORY.glob(name)]
    forms = "|".join(map(re.escape, {current(), semver(current())}))
    there = sum(len(re.findall(rf"(?<![\d.])(?:{forms})(?![\d.])", path.read_text())) for path in files)
    in_files = [path for path, _, _ in named() if path in files]
    assert known >= there == len(in_files)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the files that name a version."""
    for path, _, _ in named():
        target = tmp_path / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


@pytest.mark.parametrize("new", ["9.8.7", "10.0.0rc1"])
def test_a_new_version_is_written_everywhere_and_nothing_else_changes(copied: Path, new: str) -> None:
    old = current(copied)
    before = {path: path.read_text() for path, _, _ in named(copied)}
    assert set(write(new, copied)) == set(before)
    assert {found for _, _, found in named(copied)} == {new}
    assert len(named(copied)) == len(named())
    write(old, copied)
    assert {path: path.read_text() for path in before} == before


def test_a_version_before_a_release_is_one_of_semantic_versioning_too(copied: Path) -> None:
    write("10.0.0rc1", copied)
    chart = (copied / "deploy/helm/tandem/Chart.yaml").read_text()
    assert "version: 10.0.0-rc1\n" in chart
    assert 'appVersion: "10.0.0rc1"\n' in chart
    assert (semver("1.2.3"), semver("1.2.3b2")) == ("1.2.3", "1.2.3-b2")


@pytest.mark.parametrize("new", ["1.2", "v1.2.3", "1.2.3-beta", ""])
def test_an_invalid_version_is_refused(new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([new]) == 2
    assert "is no version" in capsys.readouterr().err
    assert current() == PYPROJECT["project"]["version"]


def test_the_changelog_has_sections_for_this_version_and_for_unreleased_changes() -> None:
    headings = re.findall(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    sections = [re.fullmatch(rf"\[({VERSION})\] - \d{{4}}-\d{{2}}-\d{{2}}", heading) for heading in headings[1:]]
    assert all(sections)
    assert next(section[1] for section in sections if section) == current()


def test_the_changelog_names_every_deprecated_metric_with_its_successor() -> None:
    """It names the families; a counter's name ends in _total."""
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    helps = re.findall(r"^# HELP (\S+) Deprecated, use (\S+)\.$", Metrics("x").exposition().decode(), re.MULTILINE)
    assert helps
    for old, new in helps:
        assert re.search(rf"`{old}` \| `{new}(_total)?`", changelog), old
