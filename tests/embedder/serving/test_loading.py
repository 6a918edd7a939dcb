"""The proof at warm-up, and the check of the model's output, without the real libraries."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_embedder.artefact import ArtefactError, KnownAnswers, Variant
from tandem_embedder.errors import ModelError
from tandem_embedder.loading import KNOWN_ANSWERS_NAME, WrongAnswersError, prove, read_known_answers
from tandem_embedder.session import checked
from tests.embedder.serving.doubles import DIM, FakeModel, FakeTokenizer, vector_of

TEXTS = ["one", "two three", "four five six"]


def answers(factor: float = 1.0) -> KnownAnswers:
    rows = [vector_of(text.ids) * factor for text in FakeTokenizer().tokenize(TEXTS)]
    return KnownAnswers(TEXTS, [row.tolist() for row in rows])


def variant(min_cosine: float) -> Variant:
    return Variant("int8/model.onnx", "f" * 32, "given", min_cosine, {})


def test_a_model_that_reproduces_the_answers_is_proven():
    assert prove(FakeTokenizer(), FakeModel(), answers(factor=0.5), variant(0.999), "int8") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("precision", "hint"), [("int8", "TANDEM_PRECISION=fp32"), ("fp32", "prepare the model again")]
)
def test_a_model_that_does_not_is_refused_with_a_way_out(precision: str, hint: str):
    wrong = KnownAnswers(TEXTS, [[-1.0, 0.0, 0.0, 0.0]] * 3)
    with pytest.raises(WrongAnswersError, match=hint):
        prove(FakeTokenizer(), FakeModel(), wrong, variant(0.99), precision)


def test_a_cosine_that_is_no_number_is_wrong():
    with pytest.raises(WrongAnswersError, match="nan"), np.errstate(invalid="ignore"):
        prove(FakeTokenizer(), FakeModel(), answers(factor=0.0), variant(0.99), "int8")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", msgspec.json.encode(KnownAnswers([], [])), msgspec.json.encode(KnownAnswers(["a"], [[1.0]]))],
    ids=["empty", "cut", "no UTF-8", "none", "another dimension"],
)
def test_damaged_answers_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / KNOWN_ANSWERS_NAME).write_bytes(content)
    with pytest.raises(ArtefactError, match="prepare the model again"):
        read_known_answers(tmp_path, DIM)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((2, 3), dtype=np.float32),
        np.zeros((1, 4), dtype=np.float32),
        np.zeros((2, 4), dtype=np.float64),
        np.array([[0, 0, 0, np.nan], [0, 0, 0, 0]], dtype=np.float32),
        np.array([[0, 0, 0, 0], [0, np.inf, 0, 0]], dtype=np.float32),
    ],
)
def test_what_cannot_be_vectors_is_a_model_error(vectors: np.ndarray):
    with pytest.raises(ModelError):
        checked(vectors, rows=2, dim=4)


def test_what_can_be_is_returned_as_it_is():
    vectors = np.ones((2, 4), dtype=np.float32)
    assert checked(vectors, rows=2, dim=4) is vectors
