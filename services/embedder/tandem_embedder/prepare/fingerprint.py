"""The fingerprint: a short identifier. Vectors with the same fingerprint can be compared with each other.

It is a hash of everything that defines the vectors, and of nothing else. It excludes the prepared model's bytes, the
machine, the time and the tools' versions. So two machines that prepare the same model with the same recipe get the
same fingerprint.
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
    """Everything that a vector depends on besides its text."""

    weights_sha256: str
    """SHA-256 of the weights."""
    tokenizer_sha256: str
    """SHA-256 of the tokenizer's canonical JSON (``tokenizer_file.digest``)."""
    architecture: Mapping[str, int | float | str]
    """The encoder's configuration (heads, epsilon, activation, ...); empty if the weights file is the graph itself."""
    pooling: str
    max_seq_length: int
    query_prompt: str
    document_prompt: str
    precision: Precision
    recipe: str
    """Name and version of the graph writer. Even a change of rounding needs a new version."""
    normalisation: Literal["l2"] = "l2"


def fingerprint(definition: VectorDefinition) -> str:
    """Return the fingerprint: the first ``LENGTH`` hexadecimal digits of a SHA-256 over canonical JSON."""
    canonical = json.dumps(asdict(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:LENGTH]
