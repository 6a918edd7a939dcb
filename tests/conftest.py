"""Fixtures for all tests."""

import tandem_embedder.process_setup  # noqa: F401, I001 - before anything that loads a native library

# onnxruntime 1.31 crashes at its import if usearch 2.26 was imported before it; the other order works. No process runs
# both services, but the tests import both.
import onnxruntime  # noqa: F401
import gc
import inspect
import os
from pathlib import Path

import hypothesis
import msgspec
import pytest

from tandem_embedder.model.prepared_model import read_manifest
from tandem_embedder.model.verified_load import WrongAnswersError
from tandem_embedder.model.load import load_model
from tandem_embedder.settings import Settings

# A busy machine may delay an example; that does not fail a test.
hypothesis.settings.register_profile("tandem", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# `make fuzz` sets HYPOTHESIS_PROFILE=fuzz. A fuzz test must not set max_examples, which would override the profile.
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("tandem"), max_examples=20_000, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tandem"))

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
SLOW_FOLDERS = {"chaos", "client", "clients", "console", "containers", "e2e", "integration"}
"""Folders whose tests start real services; many of them kill or flood the services."""
SLOW_FILES = {
    "bench/test_bench_command.py",
    "bench/test_queries.py",
    "bench/test_report.py",
    "contract/test_http_fuzz.py",
    "contract/test_json_slices.py",
    "contract/test_log_writer.py",
    "deploy/test_dashboard_live.py",
    "deploy/test_helm_chart.py",
    "deploy/test_helm_check.py",
    "deploy/test_helm_values.py",
    "embedder/model/test_batch_invariance.py",
    "embedder/prepare/test_cli.py",
    "embedder/serving/test_service_embeds.py",
    "fuzz/test_embedder.py",
    "fuzz/test_embedder_answers.py",
    "fuzz/test_gateway_bodies.py",
    "fuzz/test_openapi.py",
    "gateway/files/test_extraction_processes.py",
    "gateway/files/test_file_routes.py",
    "gateway/mcp/test_results.py",
    "gateway/mcp/test_server.py",
    "gateway/postgres/test_partition.py",
    "gateway/store/test_damage.py",
}
"""Files whose tests start programs, run the real model often, or try hundreds of inputs."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop for every ``async def`` test and fixture."""
    return "asyncio"


def is_slow(path: Path) -> bool:
    """Tell whether all tests of a file are slow."""
    path = path.relative_to(TESTS)
    return path.parts[0] in SLOW_FOLDERS or path.as_posix() in SLOW_FILES


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no slow file if no slow test will run: these files import much."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py" and is_slow(collection_path):
        return True
    return None  # leaves the decision to pytest


def pytest_collection_finish() -> None:
    """Spare each garbage collection the objects of all modules and tests; some tests collect garbage often."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders and files, and limit an async test to one minute."""
    if gone := [name for name in SLOW_FILES if not (TESTS / name).is_file()]:
        raise pytest.UsageError(f"tests/conftest.py: SLOW_FILES names what is not there: {gone}")
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.timeout(60, func_only=True), append=False)


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The prepared all-MiniLM-L6-v2; ``make test`` prepares it before it calls pytest."""
    folder = Path(os.environ.get("TANDEM_TEST_MODEL_DIR", REPOSITORY / "models" / "all-MiniLM-L6-v2"))
    if not (folder / "manifest.json").is_file():
        pytest.fail(f"no prepared model in {folder}; run: make model")
    return folder


@pytest.fixture(scope="session")
def served_precision(model_dir: Path) -> str:
    """The default precision of an embedder on this CPU: int8, or fp32 if the CPU computes int8 wrong."""
    manifest = read_manifest(model_dir)
    int8_alone = msgspec.structs.replace(manifest, variants={"int8": manifest.variants["int8"]})
    try:
        return load_model(Settings(model_dir=model_dir), int8_alone, 1).precision
    except WrongAnswersError:
        return "fp32"
