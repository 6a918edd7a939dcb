"""The self-test at warm-up, the precision served if it fails, and the check of the model's output; with fakes."""

import logging
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_embedder.errors import ModelError
from tandem_embedder.model.onnx_model import checked
from tandem_embedder.model.prepared_model import KnownAnswers, Manifest, PreparedModelError, Variant, record_of
from tandem_embedder.model.verified_load import (
    KNOWN_ANSWERS_NAME,
    TOKENIZER_NAME,
    LoadedModel,
    WrongAnswersError,
    load_or_fall_back,
    prove,
    read_known_answers,
)
from tests.embedder.serving.doubles import DIM, FakeModel, FakeSplitter, FakeTokenizer, vector_of
from tests.embedder.serving.manifests import MANIFEST

TEXTS = ["one", "two three", "four five six"]


def answers(factor: float = 1.0) -> KnownAnswers:
    rows = [vector_of(text.ids) * factor for text in FakeTokenizer().tokenize(TEXTS)]
    return KnownAnswers(TEXTS, [row.tolist() for row in rows])


def variant(min_cosine: float) -> Variant:
    return Variant("int8/model.onnx", "f" * 32, "given", min_cosine, {})


def test_a_model_that_reproduces_the_answers_is_proven():
    assert prove(FakeTokenizer(), FakeModel(), answers(factor=0.5), variant(0.999), "int8") == pytest.approx(1.0)


def test_a_model_that_does_not_is_refused_with_both_figures():
    wrong = KnownAnswers(TEXTS, [[-1.0, 0.0, 0.0, 0.0]] * 3)
    with pytest.raises(WrongAnswersError, match=r"precision int8: least cosine -0\.\d{5}, at least 0\.99000 needed"):
        prove(FakeTokenizer(), FakeModel(), wrong, variant(0.99), "int8")


def test_a_cosine_that_is_no_number_is_wrong():
    with pytest.raises(WrongAnswersError, match="nan"), np.errstate(invalid="ignore"):
        prove(FakeTokenizer(), FakeModel(), answers(factor=0.0), variant(0.99), "int8")


class Saturating(FakeModel):
    """Computes every vector with one coordinate clipped, as a saturating kernel would."""

    def embed(self, rows):
        return np.minimum(super().embed(rows), 101)


def artefact(folder: Path, *precisions: str) -> Manifest:
    (folder / TOKENIZER_NAME).write_bytes(b"{}")
    (folder / KNOWN_ANSWERS_NAME).write_bytes(msgspec.json.encode(answers()))
    return msgspec.structs.replace(
        MANIFEST,
        tokenizer=record_of(folder / TOKENIZER_NAME),
        known_answers=record_of(folder / KNOWN_ANSWERS_NAME),
        variants={name: Variant(f"{name}/model.onnx", name * 8, "given", 0.999, {}) for name in precisions},
    )


def load_with(folder: Path, manifest: Manifest, precision: str, models: dict[str, FakeModel]) -> LoadedModel:
    """Load with fakes: one of ``models`` for each requested precision; no other may be loaded."""
    return load_or_fall_back(
        folder,
        manifest,
        precision,
        1,
        lambda path, limit: FakeTokenizer(),
        lambda path: FakeSplitter(),
        lambda path, *_: models[path.parent.name],
    )


def test_int8_is_served_if_the_cpu_computes_it_right(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    int8 = FakeModel()
    loaded = load_with(tmp_path, artefact(tmp_path, "fp32", "int8"), "int8", {"int8": int8})
    assert (loaded.precision, loaded.model) == ("int8", int8)
    assert caplog.records == []


def test_fp32_is_served_if_int8_is_wrong_and_one_warning_reports_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fp32 = FakeModel()
    with caplog.at_level(logging.INFO):
        loaded = load_with(tmp_path, artefact(tmp_path, "fp32", "int8"), "int8", {"int8": Saturating(), "fp32": fp32})
    assert (loaded.precision, loaded.model) == ("fp32", fp32)
    assert loaded.min_cosine == pytest.approx(1.0)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "fp32 is served" in record.getMessage()
    assert "at least 0.99900 needed" in record.__dict__["reason"]


def test_an_artefact_without_fp32_is_not_served_where_int8_is_wrong(tmp_path: Path):
    with pytest.raises(WrongAnswersError, match=r"precision int8.*holds no fp32 to serve instead"):
        load_with(tmp_path, artefact(tmp_path, "int8"), "int8", {"int8": Saturating()})


def test_both_reasons_are_reported_if_fp32_cannot_be_served_either(tmp_path: Path):
    manifest = artefact(tmp_path, "fp32", "int8")
    with pytest.raises(WrongAnswersError, match=r"precision int8.*nor can fp32 be served:.*precision fp32"):
        load_with(tmp_path, manifest, "int8", {"int8": Saturating(), "fp32": Saturating()})


def test_fp32_that_was_asked_for_and_is_wrong_is_tried_once(tmp_path: Path):
    fp32 = Saturating()
    with pytest.raises(WrongAnswersError, match="precision fp32"):
        load_with(tmp_path, artefact(tmp_path, "fp32", "int8"), "fp32", {"fp32": fp32})
    assert len(fp32.batches) == len(TEXTS)


def test_a_damaged_int8_is_no_reason_to_serve_fp32(tmp_path: Path):
    manifest = artefact(tmp_path, "fp32", "int8")
    damaged = msgspec.structs.replace(manifest.variants["int8"], files={"int8/model.onnx": manifest.tokenizer})
    manifest = msgspec.structs.replace(manifest, variants={**manifest.variants, "int8": damaged})
    with pytest.raises(PreparedModelError, match=r"int8/model\.onnx is missing"):
        load_with(tmp_path, manifest, "int8", {})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", msgspec.json.encode(KnownAnswers([], [])), msgspec.json.encode(KnownAnswers(["a"], [[1.0]]))],
    ids=["empty", "cut", "no UTF-8", "none", "another dimension"],
)
def test_damaged_answers_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / KNOWN_ANSWERS_NAME).write_bytes(content)
    with pytest.raises(PreparedModelError, match="prepare the model again"):
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
def test_invalid_vectors_are_a_model_error(vectors: np.ndarray):
    with pytest.raises(ModelError):
        checked(vectors, rows=2, dim=4)


def test_valid_vectors_are_returned_unchanged():
    vectors = np.ones((2, 4), dtype=np.float32)
    assert checked(vectors, rows=2, dim=4) is vectors
