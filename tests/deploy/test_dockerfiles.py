"""The text of the Dockerfiles; tests/containers builds them."""

import re

import pytest

from tests.deploy.manifests import REPOSITORY
from tests.deploy.versions import current
from tests.support.tools import run, tool

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
