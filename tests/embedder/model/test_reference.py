"""The vectors of the prepared all-MiniLM-L6-v2 against its own library's (see ../reference/make_reference.py)."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tandem_embedder.model.prepared_model import read_manifest
from tandem_embedder.prepare.exact_int8 import write_exact
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.tokenizer_file import TextTokenizer, read_tokenizer

REFERENCE = Path(__file__).resolve().parent.parent / "reference"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return json.loads((REFERENCE / "texts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sequences(model_dir: Path, texts: list[str]) -> list[list[int]]:
    return TextTokenizer(read_tokenizer(model_dir), read_manifest(model_dir).max_seq_length).encode(texts)


def cosines(graph: Graph, sequences: list[list[int]]):
    vectors = np.concatenate([graph.run([sequence])[0] for sequence in sequences])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    return (vectors * np.load(REFERENCE / "reference.npy")).sum(axis=1)


def test_the_reference_is_of_these_texts_and_this_model(model_dir: Path) -> None:
    about = json.loads((REFERENCE / "reference.json").read_text())
    assert about["texts_sha256"] == hashlib.sha256((REFERENCE / "texts.json").read_bytes()).hexdigest()
    assert about["model_sha256"] == read_manifest(model_dir).source.sha256["model.safetensors"]
    assert about["max_seq_length"] == read_manifest(model_dir).max_seq_length == 256
    assert max(about["tokens"]) > 256


def test_the_tokens_are_the_librarys(sequences: list[list[int]]) -> None:
    about = json.loads((REFERENCE / "reference.json").read_text())
    assert [len(sequence) for sequence in sequences] == [min(256, tokens) for tokens in about["tokens"]]


def test_fp32_is_the_reference(model_dir: Path, sequences: list[list[int]]) -> None:
    graph = Graph(model_dir / read_manifest(model_dir).variants["fp32"].graph)
    assert cosines(graph, sequences).min() >= 0.99999


def test_int8_is_near_the_reference(model_dir: Path, sequences: list[list[int]], tmp_path: Path) -> None:
    # In exact arithmetic, because a CPU without VNNI computes other int8 vectors (the embedder then serves fp32).
    graph = shutil.copytree(model_dir / "int8", tmp_path / "int8") / "model.onnx"
    cosine = cosines(Graph(write_exact(graph)), sequences)
    assert cosine.mean() >= 0.9985
    assert cosine.min() >= 0.996


def test_the_fingerprints_are_unchanged(model_dir: Path) -> None:
    # Indexes depend on these. If the vectors change, raise the recipe version and update the values.
    variants = read_manifest(model_dir).variants
    assert {name: variant.fingerprint for name, variant in variants.items()} == {
        "fp32": "dc26293897be8015f3c80807cf9fe509",
        "int8": "801812f1f4cb57857d6c3f21647ae5b2",
    }
