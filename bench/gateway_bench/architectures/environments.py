"""Creates the virtual environments of the architectures on their first use, with pinned packages."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]

_INSTALL_SECONDS = 1800.0
_MARK = ".installed"
# Environment → files of requirements, relative to the repository.
_REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "monolith": ("bench/gateway_bench/monolith/requirements.txt",),
    "one-process": ("requirements/embedder.txt", "requirements/gateway.txt"),
    "embedder": ("requirements/embedder.txt",),
    "gateway": ("requirements/gateway.txt",),
    "prepare": ("requirements/prepare.txt",),
}
# A result names the versions of these packages.
_TOLD = (
    "torch", "sentence-transformers", "transformers", "fastapi", "starlette", "litestar", "uvicorn", "uvloop",
    "httptools", "onnxruntime", "tokenizers", "usearch", "numpy", "msgspec",
)  # fmt: skip


class EnvironmentFailed(Exception):
    """An environment could not be created; the message shows pip's error."""


class Environments:
    """Environments in a folder. Each is created once, and again when its requirements change."""

    def __init__(self, folder: Path, report: Callable[[str], None], given: dict[str, Path] | None = None) -> None:
        """Name the folder.

        Args:
            folder: folder of the environments.
            report: gets a line before each long step.
            given: name → interpreter to use instead of creating an environment.

        Raises:
            EnvironmentFailed: if this package does not run from a checkout, since the environments install it.
        """
        if not (REPOSITORY / "pyproject.toml").is_file():
            raise EnvironmentFailed("the comparison installs Tandem from its checkout: run it from one (make bench)")
        self._folder = folder.resolve()
        self._say = report
        self._given = given or {}
        self._ready: dict[str, Path] = {}
        self._wheels: list[Path] = []

    def python(self, name: str) -> Path:
        """Return the interpreter of an environment; create the environment if it is missing.

        Raises:
            EnvironmentFailed: if it cannot be created.
        """
        if name not in self._ready:
            self._ready[name] = self._given.get(name) or self._make(name)
        return self._ready[name]

    def preparing_python(self) -> Path:
        """Return an interpreter that can prepare a model: this one, or that of the environment for it."""
        needed = ("tandem_embedder", "onnx", "safetensors", "huggingface_hub", "tokenizers", "onnxruntime")
        if all(importlib.util.find_spec(module) is not None for module in needed):
            return Path(sys.executable)
        return self.python("prepare")

    def versions(self, name: str) -> dict[str, str]:
        """Return the versions of an environment's most important packages, and of Python."""
        code = (
            "import json, platform; from importlib.metadata import distributions;"
            "found = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in distributions()};"
            "print(json.dumps({'python': platform.python_version(), **found}))"
        )
        found: dict[str, str] = json.loads(_run([self.python(name), "-c", code]))
        return {package: found[package] for package in ("python", *_TOLD) if package in found}

    def _make(self, name: str) -> Path:
        folder = self._folder / name
        python = folder / "bin" / "python"
        files = [REPOSITORY / path for path in _REQUIREMENTS[name]]
        wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        mark = folder / _MARK
        if not mark.is_file() or mark.read_text() != wanted:
            self._say(f"environment {name}: installing {', '.join(_REQUIREMENTS[name])}")
            _run([sys.executable, "-m", "venv", "--clear", folder])
            hashed = name != "monolith"
            self._pip(python, *(["--require-hashes"] if hashed else []), *(f"-r{file}" for file in files))
            mark.write_text(wanted)
        if name != "monolith":  # the monolith runs from the source tree and needs no package of Tandem
            self._pip(python, "--no-deps", "--force-reinstall", *self._built_wheels())
        return python

    def _built_wheels(self) -> list[Path]:
        """Return wheels of the contract and of the services, of the checkout in its present state."""
        if not self._wheels:
            target = self._folder / "wheel"
            target.mkdir(parents=True, exist_ok=True)
            for old in target.glob("*.whl"):
                old.unlink()
            # Without isolation if the build backend is installed, which saves a download.
            isolation = [] if importlib.util.find_spec("hatchling") is None else ["--no-build-isolation"]
            projects = (REPOSITORY / "shared" / "contract", REPOSITORY)
            _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", target, *projects])
            self._wheels = sorted(target.glob("*.whl"))
        return self._wheels

    def _pip(self, python: Path, *arguments: str | Path) -> None:
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments])


def _run(command: Sequence[str | Path]) -> str:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"{_shown(command)} took over {_INSTALL_SECONDS:g} s") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no reason given"]
        raise EnvironmentFailed(f"{_shown(command)} failed: {reasons[-1]}")
    return done.stdout


def _shown(command: Sequence[str | Path]) -> str:
    return " ".join(Path(part).name if isinstance(part, Path) else part for part in command)
