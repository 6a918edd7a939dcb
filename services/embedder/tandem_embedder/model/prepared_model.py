"""The prepared model on disk: its manifest, and the check that the files are the ones it names.

An artefact is a folder made by ``python -m tandem_embedder.prepare`` and only ever read by the embedder::

    manifest.json         this module's ``Manifest``; written last, so a folder without one is unfinished
    tokenizer.json        truncation and padding removed: the embedder sets both when it loads
    known_answers.json    ``KnownAnswers``: texts and the fp32 vectors that every precision must come near
    fp32/model.onnx       the graph; its tensors lie beside it in an external-data file, which is mapped
    int8/model.onnx

The graph's inputs are ``input_ids`` and ``attention_mask``, both ``(rows, length) int64``; its one output is
``embedding``, ``(rows, dim) float32``, pooled and L2-normalised inside the graph.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from tandem_contract.decoding import InvalidMessage, cut, decode_json

FORMAT = 2
"""1 had a fixed ``min_cosine`` for int8, under which a CPU with saturating kernels passed."""
MANIFEST_NAME = "manifest.json"

Precision = Literal["fp32", "int8"]


class PreparedModelError(Exception):
    """The folder is no usable artefact; the message says which file, what is wrong and what to do."""


class FileRecord(msgspec.Struct, frozen=True):
    """One file of the artefact: its length in bytes and the SHA-256 of its content in hexadecimal."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Source(msgspec.Struct, frozen=True):
    """Where the weights came from: ``kind`` and a reference (folder, ``repo@revision`` or ``name==version``)."""

    kind: Literal["folder", "hub", "package"]
    reference: str
    sha256: dict[str, str]
    """Source file name → SHA-256, of every file that was read."""


class Variant(msgspec.Struct, frozen=True):
    """One precision of the model."""

    graph: str
    """Path of the ONNX graph, relative to the artefact."""
    fingerprint: str
    """Hash of all that defines the vectors; equal on two machines that prepared the same model."""
    recipe: str
    """Name and version of the way the graph was written, for example ``bert-int8/2``; ``given`` if it was not."""
    min_cosine: float
    """Least cosine to the known answers at which this precision counts as right on a CPU; int8's is a little under
    what exact arithmetic gives for this model."""
    files: dict[str, FileRecord]
    """Path relative to the artefact → record; the graph and its external data. Each path stays in the artefact."""


class Prompts(msgspec.Struct, frozen=True):
    """Text that the model expects before an input, by ``kind``; empty where it has none."""

    query: str = ""
    document: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """What the embedder has to know of the model."""

    format: int
    model: str
    dim: Annotated[int, msgspec.Meta(ge=1)]
    max_seq_length: Annotated[int, msgspec.Meta(ge=1)]
    """Tokens, the special ones included."""
    pooling: Literal["mean", "cls"]
    source: Source
    tokenizer: FileRecord
    known_answers: FileRecord
    variants: dict[str, Variant]
    """Precision → variant."""
    prepared_with: dict[str, str]
    """Tool → version; for the reader, not part of the fingerprint."""
    prompts: Prompts = Prompts()


_decoder = msgspec.json.Decoder(Manifest)


class KnownAnswers(msgspec.Struct, frozen=True):
    """Texts and their fp32 vectors; ``vectors[i]`` has ``dim`` floats and unit length."""

    texts: list[str]
    vectors: list[list[float]]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(path: Path) -> FileRecord:
    """Return the record that a manifest keeps of ``path``."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_of(path))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the artefact in ``folder``.

    Raises:
        ArtefactError: if the folder, the manifest or a field is missing, or the format is another one.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = decode_json(path.read_bytes(), _decoder)
    except FileNotFoundError:
        raise PreparedModelError(
            f"{folder} holds no prepared model ({MANIFEST_NAME} is missing); "
            f"run: python -m tandem_embedder.prepare --out {folder}"
        ) from None
    except OSError as error:
        raise PreparedModelError(
            f"{path} cannot be read ({error.strerror or error}); prepare the model again"
        ) from error
    except InvalidMessage as error:
        raise PreparedModelError(f"{path} is damaged ({error}); prepare the model again") from error
    if manifest.format != FORMAT:
        raise PreparedModelError(
            f"{path} has format {manifest.format}, this version reads {FORMAT}; prepare the model again"
        )
    _check_files(path, manifest)
    return manifest


def _check_files(path: Path, manifest: Manifest) -> None:
    """Check that each variant's graph is one of its files, all of which are verified, and in the artefact.

    Raises:
        ArtefactError: if one is not; onnxruntime would be given a file that nobody has looked at.
    """

    def refuse(field: str, why: str) -> PreparedModelError:
        return PreparedModelError(f"{path} is damaged ({field}: {why}); prepare the model again")

    if not manifest.variants:
        raise refuse("variants", "is empty")
    for precision, variant in manifest.variants.items():
        at = f"variants.{cut(precision)}"
        if not variant.files:
            raise refuse(f"{at}.files", "is empty")
        for name in variant.files:
            place = PurePosixPath(name)
            if place.is_absolute() or not place.parts or ".." in place.parts or "\0" in name:
                raise refuse(f"{at}.files", f"{cut(name)!r} leads out of the folder")
        if variant.graph not in variant.files:
            raise refuse(f"{at}.graph", f"{cut(variant.graph)!r} is not among its files")


def verify_file(folder: Path, name: str, record: FileRecord) -> None:
    """Check that ``folder/name`` is the file that ``record`` describes.

    Raises:
        ArtefactError: if it is missing, cannot be read, has another length, or another SHA-256.
    """
    path = folder / name
    try:
        _verify(path, record)
    except FileNotFoundError:
        raise PreparedModelError(f"{path} is missing; prepare the model again") from None
    except OSError as error:
        raise PreparedModelError(
            f"{path} cannot be read ({error.strerror or error}); prepare the model again"
        ) from error


def _verify(path: Path, record: FileRecord) -> None:
    size = path.stat().st_size
    if size != record.bytes:
        raise PreparedModelError(f"{path} has {size} bytes, not {record.bytes}; prepare the model again")
    if sha256_of(path) != record.sha256:
        raise PreparedModelError(f"{path} is damaged: its SHA-256 is not the manifest's; prepare the model again")
