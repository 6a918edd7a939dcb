"""One embedder for all tests of this folder that do not break it, and data directories to damage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ServiceProcess
from tests.support.samples import Samples, make_samples
from tests.support.stack import embedder_process

EMBEDDERS_NAME = "embedders.test"


@pytest.fixture(scope="package")
def embedder(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[ServiceProcess]:
    # Some tests reach it by another host name.
    environment = {"TANDEM_EMBEDDER_ALLOWED_HOSTS": EMBEDDERS_NAME}
    with embedder_process(tmp_path_factory.mktemp("embedder"), model_dir, env=environment) as process:
        yield process


@pytest.fixture(scope="package")
def samples(tmp_path_factory: pytest.TempPathFactory, embedder: ServiceProcess) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), embedder)
