"""The prepared model on disk: its manifest, and the verification of its files.

A prepared model is a folder that ``python -m tandem_embedder.prepare`` writes. The embedder only reads it::

    manifest.json         this module's ``Manifest``; written last, so a folder without one is unfinished
    tokenizer.json        truncation and padding removed: the embedder sets both when it loads
    known_answers.json    ``KnownAnswers``: texts and fp32 vectors, which the self-test of each precision compares with
    fp32/model.onnx       the graph; its tensors are in a memory-mapped external-data file beside it
    int8/model.onnx

The graph's inputs are ``input_ids`` and ``attention_mask``, both ``(rows, length) int64``. Its only output is
``embedding``, ``(rows, dim) float32``. The graph itself does the pooling and the L2 normalisation.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from tandem_contract.decoding import InvalidMessage, cut, decode_json

FORMAT = 2
"""Format 1 had a fixed ``min_cosine`` for int8, which was so low that CPUs with saturating kernels passed."""
MANIFEST_NAME = "manifest.json"

Precision = Literal["fp32", "int8"]


class PreparedModelError(Exception):
    """The folder is not a usable prepared model. The message names the file, the fault and the remedy."""


class FileRecord(msgspec.Struct, frozen=True):
    """One file of the prepared model: its size in bytes and the hexadecimal SHA-256 of its content."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Source(msgspec.Struct, frozen=True):
    """Origin of the weights: ``kind`` and a reference (folder, ``repo@revision`` or ``name==version``)."""

    kind: Literal["folder", "hub", "package"]
    reference: str
    sha256: dict[str, str]
    """Source file name → SHA-256, for every file that the preparation read."""


class Variant(msgspec.Struct, frozen=True):
    """One precision of the model."""

    graph: str
    """Path of the ONNX graph, relative to the folder of the prepared model."""
    fingerprint: str
    """Hash of everything that defines the vectors. Two machines that prepare the same model get the same hash."""
    recipe: str
    """Name and version of the graph writer, for example ``bert-int8/2``; ``given`` for the source's own graph."""
    min_cosine: float
    """Minimum cosine to the known answers with which a CPU passes the self-test. int8's is slightly below the cosine
    that exact arithmetic gives for this model."""
    files: dict[str, FileRecord]
    """Path → record, for the graph and its external data. Each path is relative and stays inside the folder."""


class Prompts(msgspec.Struct, frozen=True):
    """Prompt that the model expects before an input of each ``kind``; empty for none."""

    query: str = ""
    document: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """Content of manifest.json: everything that the embedder needs to know about the model."""

    format: int
    model: str
    dim: Annotated[int, msgspec.Meta(ge=1)]
    max_seq_length: Annotated[int, msgspec.Meta(ge=1)]
    """Tokens, including the special tokens."""
    pooling: Literal["mean", "cls"]
    source: Source
    tokenizer: FileRecord
    known_answers: FileRecord
    variants: dict[str, Variant]
    """Precision → variant."""
    prepared_with: dict[str, str]
    """Tool → version. Informational; not part of the fingerprint."""
    prompts: Prompts = Prompts()


_decoder = msgspec.json.Decoder(Manifest)


class KnownAnswers(msgspec.Struct, frozen=True):
    """Content of known_answers.json: texts and fp32 vectors. ``vectors[i]`` has ``dim`` floats and unit length."""

    texts: list[str]
    vectors: list[list[float]]


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(path: Path) -> FileRecord:
    """Return the manifest's record of the file at ``path``."""
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_of(path))


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the prepared model in ``folder``.

    Raises:
        PreparedModelError: if the folder, the manifest or a field is missing, or the format is not ``FORMAT``.
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
    """Check that each variant lists its graph among its files, and that all their paths stay inside the folder.

    Otherwise onnxruntime would load a file whose checksum was never verified.

    Raises:
        PreparedModelError: if a check fails.
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
    """Check that ``folder/name`` has the size and the SHA-256 of ``record``.

    Raises:
        PreparedModelError: if the file is missing or unreadable, or its size or SHA-256 differs.
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
