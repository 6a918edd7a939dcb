"""The model of an embedder's image: another model, another precision, or a mounted model."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx2 as httpx
import pytest

from tests.containers.engine import build, image, running
from tests.deploy.manifests import REPOSITORY
from tests.embedder.prepare.tiny_bert import HIDDEN, write_folder

pytestmark = pytest.mark.timeout(900)

OTHER, NONE = "test-other-model", "test-no-model"


@pytest.fixture(scope="module", autouse=True)
def removed(images: docker.DockerClient) -> Iterator[None]:
    yield
    for tag in (OTHER, NONE):
        images.images.remove(image("embedder", tag))


def test_a_model_of_ones_own_is_prepared_into_the_image(images: docker.DockerClient, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "LICENSE", "NOTICE", ".dockerignore", "requirements", "shared", "services"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    write_folder(tmp_path / "model-sources" / "tiny")
    arguments = {"MODEL_SOURCE": "model-sources/tiny", "PRECISION": "fp32"}
    options = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
    build("embedder", *options, tag=OTHER, context=tmp_path)
    with running("embedder", tag=OTHER) as started:
        started.wait_ready()
        served = httpx.get(f"{started.url}/readyz", trust_env=False).json()
        assert served["model"] == "tiny"
        assert served["precision"] == "fp32"
        assert served["dim"] == HIDDEN
        status, output = started.run("ls", "/opt/model")
        assert status == 0
        assert "int8" not in output


def test_an_image_without_a_model_takes_one_that_is_mounted(images: docker.DockerClient, model_dir: Path) -> None:
    build("embedder", "--target", "serve", tag=NONE)
    with running("embedder", tag=NONE, model=model_dir) as started:
        started.wait_ready()
        reply = httpx.post(f"{started.url}/embed", json={"texts": ["hello"]}, trust_env=False)
        assert reply.status_code == 200
