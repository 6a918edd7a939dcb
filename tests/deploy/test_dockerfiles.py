"""The text of the Dockerfiles; tests/containers builds them."""

import re
import subprocess

import pytest

from tests.deploy.manifests import REPOSITORY
from tests.deploy.versions import current
from tests.support.tools import run, tool

GATEWAY = (REPOSITORY / "services/gateway/Dockerfile").read_text()

SERVICES = ("gateway", "embedder")


@pytest.mark.parametrize("service", SERVICES)
def test_hadolint_finds_nothing(service: str) -> None:
    assert run([tool("hadolint"), REPOSITORY / "services" / service / "Dockerfile"]) == ""


@pytest.mark.parametrize("service", SERVICES)
def test_the_version_is_a_build_argument_alone(service: str) -> None:
    text = (REPOSITORY / "services" / service / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE) == [current()]
    assert 'org.opencontainers.image.version="${VERSION}"' in text


@pytest.mark.parametrize(("service", "other"), [("gateway", "embedder"), ("embedder", "gateway")])
def test_an_image_is_built_from_the_shared_packages_its_service_and_the_licence(service: str, other: str) -> None:
    text = (REPOSITORY / "services" / service / "Dockerfile").read_text()
    copied = [
        argument for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for argument in line.split()
    ]
    assert {"pyproject.toml", "LICENSE", "NOTICE", "shared", f"services/{service}"} <= set(copied)
    assert not any(argument.startswith((".", "bench", "tests", f"services/{other}")) for argument in copied)
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith(("!bench", "!tests")) for line in ignored)


@pytest.mark.parametrize("service", SERVICES)
def test_every_install_from_an_index_is_locked(service: str) -> None:
    text = (REPOSITORY / "services" / service / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"-m pip [^&\n]* install ([^&\n]*)", text)
    assert len(installs) >= 3
    for arguments in installs:
        assert "--require-hashes" in arguments or arguments.split()[-2:] == ["--no-deps", "wheels/*.whl"], arguments


def installs_of_extras(extras: str, python: str) -> subprocess.CompletedProcess[str]:
    """Run the image's loop over the extras with another program in the place of python."""
    (loop,) = re.findall(r"^RUN (for extra in (?:.*\\\n)+.*)$", GATEWAY, re.MULTILINE)
    script = f"python() {{ {python}; }}\n{loop}"
    return subprocess.run(["sh", "-c", script], env={"EXTRAS": extras}, capture_output=True, text=True, check=False)


def test_the_build_argument_adds_extras_with_their_locked_packages() -> None:
    (copied,) = re.findall(r"^ARG EXTRAS=\"\"\nCOPY (.*) \./requirements/$", GATEWAY, re.MULTILINE)
    extras = [path.removeprefix("requirements/").removesuffix(".txt") for path in copied.split()]
    assert all((REPOSITORY / path).is_file() for path in copied.split())
    page = (REPOSITORY / "docs/deployment.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| \d+ MB \|", page, re.MULTILINE) == extras
    assert installs_of_extras("", "echo $*").stdout == ""
    installed = installs_of_extras("files milvus", "echo $*")
    assert installed.returncode == 0
    assert re.findall(r"--require-hashes .* -r (\S+)", installed.stdout) == [
        "requirements/files.txt",
        "requirements/milvus.txt",
    ]


def test_the_embedders_build_argument_adds_tracing() -> None:
    text = (REPOSITORY / "services/embedder/Dockerfile").read_text()
    assert re.findall(r"^ARG EXTRAS=\"\"\nCOPY (.*) \./requirements/$", text, re.MULTILINE) == [
        "requirements/tracing.txt"
    ]
    loops = [re.findall(r"^RUN (for extra in (?:.*\\\n)+.*)$", each, re.MULTILINE) for each in (text, GATEWAY)]
    assert loops[0] == loops[1]


def test_an_extra_that_cannot_be_installed_fails_the_build() -> None:
    assert installs_of_extras("none files", "for last; do :; done; test $last != requirements/none.txt").returncode == 1
