"""Each service runs with only its own dependencies."""

import json
import re
import sys
import venv
from pathlib import Path

import httpx2 as httpx
import pytest

from tandem_tools.process import free_port
from tandem_tools.readiness import get
from tests.support.processes import ServiceProcess
from tests.support.wheels import REPOSITORY, build, run

# No service's image has these: packages for the preparation, the tests and the comparison.
NEVER = {"onnx", "safetensors", "pytest", "hypothesis", "torch", "sentence-transformers", "hatchling"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of the contract and of the services."""
    return list(build(tmp_path_factory.mktemp("wheels"), "tandem-contract", "tandem-services").values())


class Environment:
    """A fresh virtual environment with one service's locked requirements and the wheels."""

    def __init__(self, folder: Path, service: str, wheels: list[Path]) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        self._install("--require-hashes", "-r", REPOSITORY / "requirements" / f"{service}.txt")
        self._install("--no-deps", *wheels)

    def _install(self, *arguments: str | Path) -> None:
        run(sys.executable, "-m", "pip", "--quiet", "--python", self.python, "install", *arguments)

    def distributions(self) -> set[str]:
        """Return the names of all installed distributions, in lower case with hyphens."""
        listed = run(
            self.python,
            "-c",
            "import json; from importlib.metadata import distributions;"
            "print(json.dumps([d.metadata['Name'] for d in distributions()]))",
        )
        return {name.lower().replace("_", "-") for name in json.loads(listed)}

    def where(self, module: str) -> Path:
        """Return the file from which a module is imported."""
        return Path(run(self.python, "-c", f"import {module}; print({module}.__file__)").strip())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Environment:
    return Environment(tmp_path_factory.mktemp("gateway"), "gateway", wheels)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Environment:
    return Environment(tmp_path_factory.mktemp("embedder"), "embedder", wheels)


def test_the_gateway_has_no_part_of_the_embedder(gateway: Environment) -> None:
    installed = gateway.distributions()
    assert {"tandem-services", "tandem-contract", "litestar", "usearch", "msgspec"} <= installed
    assert installed.isdisjoint(NEVER | {"starlette", "onnxruntime", "tokenizers", "huggingface-hub"})
    assert gateway.python.parent.parent in gateway.where("tandem_gateway").parents


def assert_serves(gateway: Environment, folder: Path, *paths: str) -> None:
    """Start the gateway of an environment, read these paths, and end it."""
    port = free_port()
    process = ServiceProcess(
        "tandem_gateway",
        env={"TANDEM_GATEWAY_PORT": str(port), "TANDEM_DATA_DIR": str(folder / "data")},
        ready_url=f"http://127.0.0.1:{port}/readyz",
        log_path=folder / "gateway.log",
        python=gateway.python,
    )
    with process:
        for path in paths:
            assert get(f"http://127.0.0.1:{port}{path}")[0] == 200
        assert process.terminate() == 0


def test_the_gateway_starts_with_its_own_dependencies(gateway: Environment, tmp_path: Path) -> None:
    assert "--data-dir" in run(gateway.python, "-m", "tandem_gateway", "--help")
    assert_serves(gateway, tmp_path, "/livez")


def test_without_the_extra_the_gateway_reads_plain_files_and_names_the_extra_for_others(
    gateway: Environment, tmp_path: Path
) -> None:
    port = free_port()
    process = ServiceProcess(
        "tandem_gateway",
        env={"TANDEM_GATEWAY_PORT": str(port), "TANDEM_DATA_DIR": str(tmp_path / "data")},
        ready_url=f"http://127.0.0.1:{port}/readyz",
        log_path=tmp_path / "gateway.log",
        python=gateway.python,
    )
    files = [("files", ("a.md", b"# A")), ("files", ("a.csv", b"text\nx\n")), ("files", ("a.pdf", b"%PDF-1.4"))]
    with process:
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/ingest/files", files=files, trust_env=False)
    assert (reply.status_code, reply.json()["document_ids"]) == (202, ["a.md", "a.csv#1"])
    assert "tandem-services[gateway,files]" in reply.json()["files"][2]["error"]


def test_the_gateway_starts_without_the_packages_that_its_image_leaves_out(
    gateway: Environment, tmp_path: Path
) -> None:
    """The last of the gateway's tests, because it removes the packages."""
    dockerfile = (REPOSITORY / "services" / "gateway" / "Dockerfile").read_text()
    uninstalled = re.search(r"uninstall --yes \\\n +([a-z0-9 -]+)\n", dockerfile)
    assert uninstalled is not None
    packages = uninstalled[1].split()
    run(sys.executable, "-m", "pip", "--quiet", "--python", gateway.python, "uninstall", "--yes", *packages)
    assert gateway.distributions().isdisjoint(packages)
    assert_serves(gateway, tmp_path, "/livez", "/openapi.json", "/docs", "/docs/rapidoc-min.js")


def test_the_embedder_has_no_part_of_the_gateway(embedder: Environment) -> None:
    installed = embedder.distributions()
    assert {"tandem-services", "tandem-contract", "onnxruntime", "tokenizers", "msgspec"} <= installed
    assert installed.isdisjoint(NEVER | {"usearch", "starlette", "litestar"})
    assert embedder.python.parent.parent in embedder.where("tandem_embedder").parents


def test_the_embedder_starts_with_its_own_dependencies(embedder: Environment, model_dir: Path, tmp_path: Path) -> None:
    assert "--model-dir" in run(embedder.python, "-m", "tandem_embedder", "--help")
    port = free_port()
    process = ServiceProcess(
        "tandem_embedder",
        env={"TANDEM_EMBEDDER_PORT": str(port), "TANDEM_MODEL_DIR": str(model_dir)},
        ready_url=f"http://127.0.0.1:{port}/readyz",
        log_path=tmp_path / "embedder.log",
        python=embedder.python,
    )
    with process:
        assert get(f"http://127.0.0.1:{port}/readyz")[0] == 200
        assert process.terminate() == 0
