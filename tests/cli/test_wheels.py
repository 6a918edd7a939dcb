"""Tandem installs from its wheels alone: each holds its packages, and the command line finds all that it needs."""

import email
import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tandem_runtime.version import version
from tandem_tools.process import Process, free_port, inherited_environment
from tests.support.wheels import PACKAGES, PROJECTS, build, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("wheels"))


def metadata_of(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def requirements_of(wheel: Path) -> list[Requirement]:
    return [Requirement(line) for line in metadata_of(wheel).get_all("Requires-Dist", [])]


def test_there_is_a_wheel_of_each_project(wheels: dict[str, Path]) -> None:
    assert set(wheels) == set(PROJECTS) == set(PACKAGES)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wheel_holds_its_packages_with_their_data_and_the_licence(name: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[name]) as archive:
        held = {entry for entry in archive.namelist() if not entry.endswith("/")}
    described = {entry for entry in held if ".dist-info/" in entry}
    assert held - described == {
        f"{package.name}/{path.relative_to(package).as_posix()}"
        for package in PACKAGES[name]
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package.name}/py.typed" for package in PACKAGES[name]} <= held
    folder = f"{name.replace('-', '_')}-{version()}.dist-info"
    assert {entry.split("/")[0] for entry in described} == {folder}
    assert f"{folder}/licenses/LICENSE" in described


@pytest.mark.parametrize("name", PROJECTS)
def test_each_project_has_the_licence_as_a_file_of_its_own(name: str) -> None:
    """A link would lead out of its source archive."""
    licence = PROJECTS[name] / "LICENSE"
    assert not licence.is_symlink()
    assert licence.read_bytes() == (PROJECTS["tandem-services"] / "LICENSE").read_bytes()


def test_no_package_is_in_two_wheels() -> None:
    packages = [package.name for held in PACKAGES.values() for package in held]
    assert len(packages) == len(set(packages))


@pytest.mark.parametrize("name", PROJECTS)
def test_all_have_one_version_and_need_each_other_in_that_version(name: str, wheels: dict[str, Path]) -> None:
    described = metadata_of(wheels[name])
    assert (described["Name"], described["Version"]) == (name, version())
    assert described["License-Expression"] == "Apache-2.0"
    assert str(described.get_payload()).strip(), "the page of the package has no text"
    own = [requirement for requirement in requirements_of(wheels[name]) if requirement.name.startswith("tandem-")]
    assert all(str(requirement.specifier) == f"=={version()}" for requirement in own), own


def test_the_contract_and_the_services_do_not_need_the_command_line(wheels: dict[str, Path]) -> None:
    assert [requirement.name for requirement in requirements_of(wheels["tandem-contract"])] == ["msgspec"]
    assert not {"tandem-search", "typer", "rich"} & {r.name for r in requirements_of(wheels["tandem-services"])}


class Installed:
    """An environment with the wheels; every other package comes from the environment of the tests."""

    def __init__(self, folder: Path, wheels: dict[str, Path]) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.bin = folder / "bin"
        pip = [sys.executable, "-m", "pip", "-q", "--python", self.bin / "python"]
        run(*pip, "install", "--no-compile", "--no-deps", *wheels.values())
        (site,) = folder.glob("lib/python*/site-packages")
        # A folder in a .pth file comes after the environment's own, and its .pth files are not read: so no editable
        # install of the checkout is seen.
        others = [path for path in sys.path if path.endswith("site-packages")]
        (site / "others.pth").write_text("\n".join(others) + "\n")
        self.site = site


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Installed:
    return Installed(tmp_path_factory.mktemp("environment"), wheels)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which nothing of the checkout or of the user's folders is found."""
    return {
        **inherited_environment("TANDEM_", "PYTHONPATH", "XDG_"),
        "HOME": str(tmp_path / "home"),
        "NO_COLOR": "1",
    }


def output(environment: dict[str, str], folder: Path, *command: str | Path) -> str:
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", ["tandem", "tandem-search"])
def test_both_commands_are_there_and_print_the_version(
    command: str, installed: Installed, environment: dict[str, str], tmp_path: Path
) -> None:
    assert output(environment, tmp_path, installed.bin / command, "--version") == f"tandem {version()}\n"


def test_everything_is_imported_from_the_wheels(
    installed: Installed, environment: dict[str, str], tmp_path: Path
) -> None:
    names = [package.name for held in PACKAGES.values() for package in held]
    code = f"import importlib\nfor name in {names!r}: print(importlib.import_module(name).__file__)"
    files = output(environment, tmp_path, installed.bin / "python", "-c", code).splitlines()
    assert len(files) == len(names)
    assert all(Path(file).is_relative_to(installed.site) for file in files)


@pytest.fixture
def running(installed: Installed, environment: dict[str, str], model_dir: Path, tmp_path: Path) -> Iterator[Process]:
    """``tandem dev`` in a folder of the user, with the prepared model of the tests."""
    home = tmp_path / "home" / ".local" / "share" / "tandem"
    (home / "models").mkdir(parents=True)
    (home / "models" / "all-MiniLM-L6-v2").symlink_to(model_dir)
    ports = ["--port", str(free_port()), "--embedder-port", str(free_port())]
    process = Process(
        "tandem dev",
        [installed.bin / "tandem", "dev", *ports],
        tmp_path / "dev.log",
        env=environment,
        cwd=tmp_path,
        ready=lambda http: None if "stop with Ctrl-C" in process.log_text() else "it is not ready",
        ready_seconds=120,
    )
    with process:
        yield process


def test_dev_runs_both_services_from_the_wheels_and_keeps_its_files_in_the_users_folder(
    running: Process, installed: Installed, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home" / ".local" / "share" / "tandem"
    said = running.log_text()
    assert f"tandem: data: {home}/data/; logs: {home}/data/logs/" in said
    assert re.search(r"API: http://127\.0\.0\.1:\d+/docs; stop with Ctrl-C", said)
    assert {path.name for path in (home / "data" / "logs").iterdir()} == {"embedder.log", "gateway.log"}
    assert "preparing" not in said
    running.signal(signal.SIGINT)
    assert running.wait_exit(60) == 0
    assert sorted(os.listdir(tmp_path)) == ["dev.log", "home"]
