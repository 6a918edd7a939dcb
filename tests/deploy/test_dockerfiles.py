"""The Dockerfiles as they are written; tests/containers builds them."""

import re

import pytest

import tandem_gateway
from tests.deploy.manifests import REPOSITORY
from tests.support.tools import run, tool

SERVICES = ("gateway", "embedder")


@pytest.mark.parametrize("service", SERVICES)
def test_hadolint_finds_nothing(service: str) -> None:
    assert run([tool("hadolint"), REPOSITORY / "services" / service / "Dockerfile"]) == ""


@pytest.mark.parametrize("service", SERVICES)
def test_the_version_is_that_of_the_code(service: str) -> None:
    text = (REPOSITORY / "services" / service / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE) == [tandem_gateway.__version__]


@pytest.mark.parametrize("service", SERVICES)
def test_every_install_from_an_index_is_locked(service: str) -> None:
    text = (REPOSITORY / "services" / service / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"-m pip [^&\n]* install ([^&\n]*)", text)
    assert len(installs) >= 3
    for arguments in installs:
        assert "--require-hashes" in arguments or arguments.split()[-2:] == ["--no-deps", "wheels/*.whl"], arguments
