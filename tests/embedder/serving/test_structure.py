"""Who may import what: each heavy library has one module that knows it, and the environment has one reader."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tandem_embedder

PACKAGE = Path(tandem_embedder.__file__).parent


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def serving_modules() -> dict[str, set[str]]:
    paths = (path for path in PACKAGE.rglob("*.py") if "prepare" not in path.relative_to(PACKAGE).parts)
    return {str(path.relative_to(PACKAGE)): set(imports(path)) for path in paths}


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("onnxruntime", "session.py"),
        ("tokenizers", "tokenization.py"),
        ("prometheus_client", "metrics.py"),
        ("starlette", "app.py"),
        ("ctypes", "process.py"),
    ],
)
def test_a_library_has_one_module_that_imports_it(library: str, module: str):
    found = {
        name
        for name, imported in serving_modules().items()
        if any(one == library or one.startswith(f"{library}.") for one in imported)
    }
    assert found == {module}


@pytest.mark.parametrize(
    "module",
    ["batching.py", "admission.py", "scheduler.py", "embed.py", "errors.py", "loading.py", "ports.py", "tokenizing.py"],
)
def test_the_domain_knows_no_http(module: str):
    outside = ("starlette", "uvicorn", "tandem_embedder.api", "tandem_embedder.app", "tandem_contract.headers")
    assert not [one for one in serving_modules()[module] if one.startswith(outside)]


def test_the_decision_and_the_admission_know_no_clock_and_no_task():
    modules = serving_modules()
    for module in ("batching.py", "admission.py"):
        assert not modules[module] & {"time", "asyncio", "threading"}


def test_preparing_is_not_imported_by_serving():
    assert not [
        name
        for name, imported in serving_modules().items()
        if any("tandem_embedder.prepare" in one for one in imported)
    ]
