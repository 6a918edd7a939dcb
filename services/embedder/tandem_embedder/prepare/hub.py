"""The pinned model from the Hugging Face Hub, through huggingface_hub. Only this module imports that library.

The library makes every request, so its settings apply (HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, HF_HOME) and other
programs share the user's cache. The library retries an unreachable hub for 23 seconds. So this module first sends one
probe with a timeout and without retries.
"""

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Protocol

# The library reads both variables when it loads, so set them before the import. Its plain HTTP transfer has timeouts
# for a stalled connection. Its other transfer (Xet) has none, and 90 MB do not need it.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
# With telemetry, the library first sends another request to the hub, for up to 3 seconds.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from tandem_embedder.prepare.errors import SourceError
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.sources import PinnedModel, SourceFolder, mismatch

PROBE_SECONDS = 3.0


class HubClient(Protocol):
    """Port: the hub operations that ``Hub`` uses."""

    offline: bool
    """Whether the user has forbidden the network."""

    def cached(self, name: str) -> Path | None:
        """Return the path of the file in the local cache; None if it is not cached."""

    def probe(self) -> str | None:
        """Send the hub one small request; return None if it answers, else the reason."""

    def download(self, name: str) -> Path:
        """Download the file into the local cache unless it is there, and return its path.

        Raises:
            OSError, ValueError: if the download fails; the library's own errors derive from these.
        """


class HuggingFaceClient:
    """huggingface_hub for one repository at one revision."""

    def __init__(self, repository: str, revision: str) -> None:
        self._repository = repository
        self._revision = revision
        self.offline = bool(constants.HF_HUB_OFFLINE)
        # The library logs each retry, but the caller already reports the outcome.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

    def cached(self, name: str) -> Path | None:
        """Return the path of the file in the library's cache; None if it is not cached."""
        path = try_to_load_from_cache(self._repository, name, revision=self._revision)
        return Path(path) if isinstance(path, str) else None

    def probe(self) -> str | None:
        """Request the metadata of one small file, and wait at most ``PROBE_SECONDS`` for the answer."""
        url = hf_hub_url(self._repository, "config.json", revision=self._revision)
        outcome: list[str | None] = []

        def ask() -> None:
            try:
                get_hf_file_metadata(url, timeout=PROBE_SECONDS)
                outcome.append(None)
            except Exception as error:
                outcome.append(_first_line(error))

        # The timeout bounds each step of a connection, but neither the DNS lookup nor the total time.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PROBE_SECONDS)
        return outcome[0] if outcome else f"no answer within {PROBE_SECONDS:.0f} s"

    def download(self, name: str) -> Path:
        """Download the file into the library's cache, unless it is there, and return its path.

        The library resumes a broken transfer, and renames the file when it is complete.
        """
        return Path(hf_hub_download(self._repository, name, revision=self._revision))


class Hub:
    """The hub as a source of the pinned model."""

    def __init__(self, model: PinnedModel, client: HubClient, progress: Progress) -> None:
        self.description = f"the Hugging Face Hub ({model.hub_repository}, revision {model.hub_revision[:8]})"
        self._model = model
        self._client = client
        self._progress = progress
        if not progress.on_terminal:
            disable_progress_bars()

    def fetch(self) -> SourceFolder:
        """Return the revision's folder in the library's cache, with verified weights and tokenizer.

        Raises:
            SourceError: if the hub is unreachable, a download fails, or a file is not the pinned one.
        """
        paths = {name: self._client.cached(name) for name in self._model.sha256}
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            self._check_reachable()
            self._progress.report(f"  downloading {len(missing)} files")
            with self._progress.heartbeat("downloading"):
                paths |= {name: self._download(name) for name in missing}
        for name in self._model.vector_files:
            path = paths[name]
            assert path is not None
            self._check(path, name)
        config = paths["config.json"]
        assert config is not None
        return SourceFolder(
            path=config.parent,
            kind="hub",
            reference=f"{self._model.hub_repository}@{self._model.hub_revision}",
            model=self._model.name,
        )

    def _check_reachable(self) -> None:
        if self._client.offline:
            raise SourceError("the hub's cache has not got it, and HF_HUB_OFFLINE forbids to ask")
        reason = self._client.probe()
        if reason is not None:
            raise SourceError(f"the hub cannot be reached: {reason}")

    def _download(self, name: str) -> Path:
        try:
            return self._client.download(name)
        except Exception as error:
            # The errors of httpx and of the library have no common base class except Exception.
            raise SourceError(f"the hub did not deliver {name}: {_first_line(error)}") from error

    def _check(self, path: Path, name: str) -> None:
        problem = mismatch(path, self._model.sha256[name])
        if problem is None:
            return
        # The cached path is a link to the content. Remove both, or the next attempt would find the content again.
        with contextlib.suppress(OSError):
            path.resolve().unlink()
        with contextlib.suppress(OSError):
            path.unlink()
        raise SourceError(f"the hub's {name} {problem}; removed from the cache")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
