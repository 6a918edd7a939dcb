"""The project's automation: workflows, templates, hooks and .ci/run name existing files and need few permissions."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.versions import REPOSITORY
from tests.support.tools import run, tool

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))

by_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


class Step(NamedTuple):
    """One step of a job, and its job."""

    job: dict[str, Any]
    step: dict[str, Any]


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps(path: Path) -> Iterator[Step]:
    for job in content(path)["jobs"].values():
        for step in job["steps"]:
            yield Step(job, step)


def commands() -> str:
    """Return all commands of workflows, .ci/run and the Makefile's recipes, one per line."""
    written = [step["run"] for path in WORKFLOWS for _, step in steps(path) if "run" in step]
    recipes = [line for line in MAKEFILE.splitlines() if line.startswith("\t")]
    return "\n".join([*written, (REPOSITORY / ".ci" / "run").read_text(), *recipes])


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
    ],
)
def test_each_file_has_the_form_that_github_reads(schema: str, files: str) -> None:
    found = sorted(REPOSITORY.glob(files))
    assert found
    run([tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *found])


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "nightly", "docs", "release"}


@by_workflow
def test_a_workflow_may_only_read_and_runs_once_at_a_time(path: Path) -> None:
    workflow = content(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"].startswith(path.stem)
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"], name
        assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
        assert job.get("permissions", {}).keys() <= ({"contents", "id-token"} if path.stem == "release" else set())


@by_workflow
def test_actions_are_githubs_own_and_of_a_known_major_version(path: Path) -> None:
    used = [step["uses"] for _, step in steps(path) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@(v\d+(\.\d+){0,2}|[0-9a-f]{40})", action), action


@by_workflow
def test_no_step_keeps_the_token_or_runs_text_of_an_event(path: Path) -> None:
    for _, step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", "")  # the shell would run a title or a branch's name as a command


def test_every_make_target_that_is_named_exists() -> None:
    # Printed texts and comments also name commands: "make down stops it".
    said = re.sub(r"(?m)^\s*@?(?:echo|#).*$|echo .*$", "", commands())
    lines = re.findall(r"(?:^|[;&|(@ ])(?:make|\$\(MAKE\)) ([a-z $(-][^\n;&|)]*)", said, re.MULTILINE)
    named = {word for line in lines for word in line.split() if re.fullmatch(r"[a-z][a-z-]*", word)}
    assert {"test", "test-fast", "check", "docs", "dist", "version", "fuzz", "model", "setup-newest"} <= named
    assert named <= TARGETS


def test_every_marker_that_is_named_exists() -> None:
    declared = {marker.split(":")[0] for marker in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    expressions = re.findall(r"(?:pytest|tests)\b[^\n]* -m (?:\"([^\"]*)\"|([a-z]+))", commands())
    named = {word for expression in expressions for word in re.findall(r"[a-z_]+", "".join(expression))}
    assert {"slow", "fuzz"} <= named
    assert named - {"not", "and", "or"} <= declared


def test_every_file_that_is_named_exists() -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    for name in re.findall(r"cache-dependency-path: (\S+)", text):
        assert list(REPOSITORY.glob(name)), name
    assert (REPOSITORY / ".ci" / "run").is_file()


def test_every_python_that_is_promised_is_tested() -> None:
    versions = content(GITHUB / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    promised = re.findall(r"Python :: (3\.\d+)$", "\n".join(PYPROJECT["project"]["classifiers"]), re.MULTILINE)
    least = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert least in promised
    assert set(promised) <= set(versions)


def test_the_release_publishes_the_section_of_its_version(tmp_path: Path) -> None:
    (script,) = [step["run"] for _, step in steps(GITHUB / "workflows" / "release.yml") if "awk" in step.get("run", "")]
    (tmp_path / "dist").mkdir()
    shutil.copy(REPOSITORY / "CHANGELOG.md", tmp_path)
    environment = {"PATH": os.environ["PATH"], "GITHUB_REF_NAME": f"v{PYPROJECT['project']['version']}"}
    run(["bash", "-ec", script], cwd=tmp_path, env=environment)
    notes = (tmp_path / "dist" / "notes.md").read_text().strip()
    assert notes
    assert "## [" not in notes
    assert notes in (REPOSITORY / "CHANGELOG.md").read_text()
    environment["GITHUB_REF_NAME"] = "v99.0.0"
    assert subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, check=False).returncode != 0


def test_hooks_run_the_pinned_tools_and_download_nothing() -> None:
    repositories = content(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    pinned = re.findall(r"^([a-z-]+)==", (REPOSITORY / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    packages = {"lint-imports": "import-linter"}
    for hook in repositories[0]["hooks"]:
        assert hook["language"] == "system"
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert packages.get(program, program) in pinned
        tool(program)


class Machine:
    """A copy of .ci/run on a machine whose programs are stubs; ``make`` prints its arguments."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self.programs = folder / "bin"
        self.programs.mkdir()
        (self.repository / ".ci").mkdir(parents=True)
        shutil.copy(REPOSITORY / ".ci" / "run", self.repository / ".ci" / "run")
        for name in ("bash", "dirname", "id", "seq", "mkdir", "ln", "env", "touch", "chmod"):
            (self.programs / name).symlink_to(tool(name))
        self.has("make", 'echo "make $* skip_nothing=${TANDEM_TEST_SKIP_NOTHING:-}"')
        for name in ("sudo", "systemctl", "service", "apt-get", "sleep", "setsid"):
            self.has(name, "exit 1")

    def has(self, name: str, script: str, folder: Path | None = None) -> None:
        """Install a stub program."""
        path = (folder or self.programs) / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run .ci/run from another folder, as a CI machine does."""
        return subprocess.run(
            [self.programs / "bash", self.repository / ".ci" / "run"],
            env={"PATH": str(self.programs), "HOME": str(self.repository), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_ci_without_an_engine_skips_the_tests_that_need_one(machine: Machine) -> None:
    done = machine.run()
    assert done.stdout.splitlines()[-1] == "make test skip_nothing="
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_ci_with_an_engine_skips_no_test_by_default(machine: Machine, given: str | None, expected: str) -> None:
    for name in ("docker", "docker-compose", "promtool", "chromium", "npm"):
        machine.has(name, "exit 0")
    done = machine.run(**({} if given is None else {"TANDEM_TEST_SKIP_NOTHING": given}))
    assert done.stdout == f"make test skip_nothing={expected}\n"


def test_ci_starts_an_engine_that_is_installed(machine: Machine) -> None:
    started = machine.repository / "started"
    machine.has("docker", f"test -e {started}")
    machine.has("sudo", 'shift; exec "$@"')
    machine.has("service", f"touch {started}")
    for name in ("docker-compose", "promtool", "chromium", "npm"):
        machine.has(name, "exit 0")
    done = machine.run()
    assert done.stdout == "make test skip_nothing=1\n", done.stderr


def test_ci_lets_the_machine_prepare_its_engine(machine: Machine) -> None:
    shared = machine.repository.parent / "shared"
    shared.mkdir()
    machine.has("docker-up", f"ln -s {machine.programs}/true {machine.programs}/docker", shared)
    for name in ("true", "docker-compose", "promtool", "chromium", "npm"):
        machine.has(name, "exit 0")
    done = machine.run()
    assert done.stdout == "make test skip_nothing=1\n", done.stderr
    machine.has("docker-up", "exit 7", shared)
    assert machine.run().returncode == 7


def test_ci_fails_if_make_test_does(machine: Machine) -> None:
    machine.has("make", "exit 3")
    assert machine.run().returncode == 3


def test_ci_fails_if_a_tool_cannot_be_installed(machine: Machine) -> None:
    for name in ("docker", "docker-compose"):
        machine.has(name, "exit 0")
    done = machine.run()
    assert done.returncode != 0
    assert "make" not in done.stdout
