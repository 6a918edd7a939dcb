"""Load a prepared model, and prove that this CPU computes it correctly before the embedder serves it.

On CPUs with AVX2 but without VNNI some int8 kernels saturate, and their vectors are silently wrong. A self-test detects
that. It runs the texts of known_answers.json through the tokenizer and the session that requests will use, and compares
the vectors with the file's fp32 vectors. If int8 fails the self-test, this module loads fp32 instead. Its vectors are
right, it is slower, and it has its own fingerprint.
"""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from tandem_contract.decoding import InvalidMessage, decode_json
from tandem_embedder.model.prepared_model import (
    KnownAnswers,
    Manifest,
    Precision,
    PreparedModelError,
    Variant,
    verify_file,
)
from tandem_embedder.ports import Model, Splitter, Tokenizer, Vectors

KNOWN_ANSWERS_NAME = "known_answers.json"
TOKENIZER_NAME = "tokenizer.json"
FALLBACK: Precision = "fp32"
"""Precision that every CPU computes correctly."""

TokenizerFactory = Callable[[Path, int], Tokenizer]
SplitterFactory = Callable[[Path], Splitter]
ModelFactory = Callable[[Path, int, int], Model]

_answers_decoder = msgspec.json.Decoder(KnownAnswers)

log = logging.getLogger(__name__)


class WrongAnswersError(Exception):
    """This CPU does not reproduce the model's known answers; the message says by how much."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that has passed its self-test, and the duration of each loading step."""

    tokenizer: Tokenizer
    splitter: Splitter
    model: Model
    precision: str
    """Loaded precision. May differ from the requested one; see ``load_or_fall_back``."""
    min_cosine: float
    """Minimum cosine between the self-test's vectors and the known answers."""
    seconds: dict[str, float]
    """Loading step → seconds."""


def load_or_fall_back(
    folder: Path,
    manifest: Manifest,
    precision: str,
    threads: int,
    make_tokenizer: TokenizerFactory,
    make_splitter: SplitterFactory,
    make_model: ModelFactory,
) -> LoadedModel:
    """Load the model of ``folder`` in ``precision``; fall back to fp32 if ``precision`` fails its self-test.

    Raises:
        WrongAnswersError: if ``precision`` fails, and the folder has no fp32 or fp32 cannot be served either.
        PreparedModelError, ModelError: as ``load``.
    """
    try:
        return load(folder, manifest, precision, threads, make_tokenizer, make_splitter, make_model)
    except WrongAnswersError as error:
        if precision == FALLBACK:
            raise
        if FALLBACK not in manifest.variants:
            raise WrongAnswersError(
                f"{error}; {folder} holds no {FALLBACK} to serve instead: prepare the model with both"
            ) from error
        refused = str(error)
    # Outside the handler: its traceback would keep the rejected model in memory beside the replacement.
    log.warning(
        "this CPU computes int8 wrong (it is probably without VNNI), so fp32 is served: about a third of the speed, "
        "more memory, and another fingerprint, whose vectors do not mix with int8's; with TANDEM_PRECISION=fp32 int8 "
        "is not tried",
        extra={"reason": refused},
    )
    try:
        return load(folder, manifest, FALLBACK, threads, make_tokenizer, make_splitter, make_model)
    except Exception as error:
        raise WrongAnswersError(f"{refused}; nor can {FALLBACK} be served: {error}") from error


def load(
    folder: Path,
    manifest: Manifest,
    precision: str,
    threads: int,
    make_tokenizer: TokenizerFactory,
    make_splitter: SplitterFactory,
    make_model: ModelFactory,
) -> LoadedModel:
    """Verify the files of ``folder``, load the model and run its self-test.

    Raises:
        PreparedModelError: if a file is missing, damaged or invalid.
        WrongAnswersError: if the vectors are too far from the known answers.
        ModelError: if the model fails in the self-test.
    """
    marks = [("start", time.perf_counter())]
    variant = manifest.variants[precision]
    verify_file(folder, TOKENIZER_NAME, manifest.tokenizer)
    verify_file(folder, KNOWN_ANSWERS_NAME, manifest.known_answers)
    for name, record in variant.files.items():
        verify_file(folder, name, record)
    marks.append(("verify", time.perf_counter()))
    tokenizer = make_tokenizer(folder / TOKENIZER_NAME, manifest.max_seq_length)
    marks.append(("tokenizer", time.perf_counter()))
    model = make_model(folder / variant.graph, manifest.dim, threads)
    marks.append(("session", time.perf_counter()))
    least = prove(tokenizer, model, read_known_answers(folder, manifest.dim), variant, precision)
    marks.append(("warm_up", time.perf_counter()))
    seconds = {name: round(end - start, 4) for (_, start), (name, end) in itertools.pairwise(marks)}
    splitter = make_splitter(folder / TOKENIZER_NAME)
    return LoadedModel(tokenizer, splitter, model, precision, least, seconds)


def read_known_answers(folder: Path, dim: int) -> KnownAnswers:
    """Return the known answers of the prepared model in ``folder``.

    Raises:
        PreparedModelError: if the file is unreadable, has no texts, or a vector's dimension is not ``dim``.
    """
    path = folder / KNOWN_ANSWERS_NAME
    try:
        answers = decode_json(path.read_bytes(), _answers_decoder)
    except (OSError, InvalidMessage) as error:
        raise PreparedModelError(f"{path} cannot be read ({error}); prepare the model again") from error
    if not answers.texts or [len(vector) for vector in answers.vectors] != [dim] * len(answers.texts):
        raise PreparedModelError(f"{path} has not one vector of {dim} floats for each text; prepare the model again")
    return answers


def prove(tokenizer: Tokenizer, model: Model, answers: KnownAnswers, variant: Variant, precision: str) -> float:
    """Run the self-test; return the minimum cosine between the model's vectors and the known answers.

    Raises:
        WrongAnswersError: if it is below the variant's ``min_cosine``.
    """
    rows = [tokenized.ids for tokenized in tokenizer.tokenize(answers.texts)]
    # One text per run: the common case for a query, and independent of any batch limit.
    vectors = np.concatenate([model.embed([row]) for row in rows])
    least = float(cosines(vectors, np.array(answers.vectors, dtype=np.float32)).min())
    if not least >= variant.min_cosine:  # not "<": NaN must fail as well
        raise WrongAnswersError(
            f"this CPU does not reproduce the known answers of precision {precision}: "
            f"least cosine {least:.5f}, at least {variant.min_cosine:.5f} needed"
        )
    return least


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """Return the cosine between each row of ``left`` and the same row of ``right``, ``(n,) float32``."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products: Vectors = np.einsum("ij,ij->i", left, right) / norms
    return products
