"""The fingerprint: one short name for "these vectors may be compared with each other".

It is a hash of everything that defines the vectors, and of nothing else: not of the artefact's bytes, the
machine, the time or the tools' versions. Two machines that prepare the same model with the same recipe agree.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from tandem_embedder.model.prepared_model import Precision

LENGTH = 32
"""Hexadecimal digits kept: 128 bits."""


@dataclass(frozen=True)
class VectorDefinition:
    """All that a vector depends on besides its text."""

    weights_sha256: str
    """Of the file that holds the weights."""
    tokenizer_sha256: str
    """Of the tokenizer's canonical JSON (``tokenizer_file.digest``)."""
    architecture: Mapping[str, int | float | str]
    """The encoder's numbers (heads, epsilon, activation, ...); empty where the weights file is the graph."""
    pooling: str
    max_seq_length: int
    query_prompt: str
    document_prompt: str
    precision: Precision
    recipe: str
    """Name and version of the way the graph is written; a change of rounding is a new version."""
    normalisation: Literal["l2"] = "l2"


def fingerprint(definition: VectorDefinition) -> str:
    """Return the fingerprint, ``LENGTH`` hexadecimal digits of a SHA-256 over canonical JSON."""
    canonical = json.dumps(asdict(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:LENGTH]
