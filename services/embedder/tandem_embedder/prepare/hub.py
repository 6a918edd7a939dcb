"""The pinned model from the Hugging Face Hub, through huggingface_hub.

The library is used for everything, so that its settings are honoured (HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN,
HF_HOME) and the user's cache is shared with other programs. It retries an unreachable hub for 23 seconds;
so one question without retries, bounded in time, comes first. This is the only module that imports it.
"""

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Protocol

# Both are read when the library is loaded, so they come before its import. Plain HTTP has time-outs for a stalled
# transfer; the library's other way of transfer has none, and 90 MB do not need it.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
# With it the library asks the hub for something else first, for up to 3 seconds.
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
    """What is needed of a hub."""

    offline: bool
    """Whether the user has forbidden the network."""

    def cached(self, name: str) -> Path | None:
        """Return the file from the local cache, or None."""

    def probe(self) -> str | None:
        """Ask the hub something small; return None if it answers, or why it does not."""

    def download(self, name: str) -> Path:
        """Return the file in the local cache, downloaded if need be.

        Raises:
            OSError, ValueError: the library's own errors derive from these.
        """


class HuggingFaceClient:
    """huggingface_hub for one repository at one revision."""

    def __init__(self, repository: str, revision: str) -> None:
        self._repository = repository
        self._revision = revision
        self.offline = bool(constants.HF_HUB_OFFLINE)
        # It reports each of its retries; the caller reports the outcome.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

    def cached(self, name: str) -> Path | None:
        """Return the file from the library's cache, or None."""
        path = try_to_load_from_cache(self._repository, name, revision=self._revision)
        return Path(path) if isinstance(path, str) else None

    def probe(self) -> str | None:
        """Ask for the head of one small file; the answer, or ``PROBE_SECONDS``, whichever comes first."""
        url = hf_hub_url(self._repository, "config.json", revision=self._revision)
        outcome: list[str | None] = []

        def ask() -> None:
            try:
                get_hf_file_metadata(url, timeout=PROBE_SECONDS)
                outcome.append(None)
            except Exception as error:
                outcome.append(_first_line(error))

        # The time-out bounds each step of a connection, but not the look-up of a name, nor their sum.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PROBE_SECONDS)
        return outcome[0] if outcome else f"no answer within {PROBE_SECONDS:.0f} s"

    def download(self, name: str) -> Path:
        """Return the file in the library's cache; a broken transfer is resumed, and renamed when whole."""
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
        """Return the folder of the revision in the library's cache, its weights and tokenizer checked."""
        paths = {name: self._client.cached(name) for name in self._model.sha256}
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            self._check_reachable()
            self._progress.say(f"  downloading {len(missing)} files")
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
            # httpx's and the library's errors share no narrower base.
            raise SourceError(f"the hub did not deliver {name}: {_first_line(error)}") from error

    def _check(self, path: Path, name: str) -> None:
        problem = mismatch(path, self._model.sha256[name])
        if problem is None:
            return
        # The cache keeps a link to the content; both go, or the next try would find it again.
        with contextlib.suppress(OSError):
            path.resolve().unlink()
        with contextlib.suppress(OSError):
            path.unlink()
        raise SourceError(f"the hub's {name} {problem}; removed from the cache")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
