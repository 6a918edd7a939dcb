"""The whole preparation, with a tiny model."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tandem_embedder.model.prepared_model import FORMAT, read_manifest
from tandem_embedder.prepare import known_answers, pipeline
from tandem_embedder.prepare.errors import PublishError, SelfCheckError, SourceError, UnsupportedModel, UsageError
from tandem_embedder.prepare.exact_int8 import write_exact
from tandem_embedder.prepare.pipeline import Request, prepare
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.sources import PINNED, LocalFolder, SourceFolder
from tandem_embedder.prepare.tokenizer_file import TextTokenizer, read_tokenizer
from tests.embedder.prepare.tiny_bert import forward, random_tensors, write_folder


def request(source: Path, out: Path, **changes) -> Request:
    return replace(Request(out, None, LocalFolder(source).fetch, pinned=False), **changes)


def never() -> SourceFolder:
    raise AssertionError("the source was asked")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny"


def test_the_artefact_is_whole(tiny: Path, out: Path, progress) -> None:
    outcome = prepare(request(tiny, out), progress)
    assert outcome.made
    manifest = read_manifest(out)
    assert manifest == outcome.manifest
    assert (manifest.model, manifest.dim, manifest.max_seq_length, manifest.pooling) == ("tiny", 32, 32, "mean")
    assert list(manifest.variants) == ["fp32", "int8"]
    assert manifest.variants["int8"].recipe == "bert-int8/2"
    assert manifest.variants["fp32"].fingerprint != manifest.variants["int8"].fingerprint
    assert sorted(manifest.source.sha256) == [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    ]
    named = {"manifest.json", "tokenizer.json", "known_answers.json"}
    named |= {name for variant in manifest.variants.values() for name in variant.files}
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == named
    assert os.listdir(out.parent) == ["tiny"]
    assert os.listdir(out / "int8") == ["model.onnx"] or "model.onnx.data" in os.listdir(out / "int8")


def test_the_known_answers_are_the_models(tiny: Path, out: Path, progress) -> None:
    prepare(request(tiny, out), progress)
    known = json.loads((out / "known_answers.json").read_text())
    ids = TextTokenizer(read_tokenizer(out), 32).encode(known["texts"])
    assert len(known["texts"]) == 8
    assert min(map(len, ids)) == 3
    assert len(TextTokenizer(read_tokenizer(out), 1000).encode(known["texts"])[-1]) > 32
    expected = [forward(random_tensors(), sequence) for sequence in ids]
    np.testing.assert_allclose(known["vectors"], expected, atol=2e-6)


def test_an_existing_model_is_left_alone(tiny: Path, out: Path, progress) -> None:
    first = prepare(request(tiny, out), progress)
    inode = out.stat().st_ino
    again = prepare(request(tiny, out), progress)
    one = prepare(request(tiny, out, precisions=("int8",)), progress)
    assert not again.made
    assert not one.made
    assert again.manifest == first.manifest
    assert out.stat().st_ino == inode
    assert prepare(request(tiny, out, force=True), progress).made
    assert out.stat().st_ino != inode


def test_two_preparations_give_the_same_bytes(tiny: Path, tmp_path: Path, progress) -> None:
    first, second = (prepare(request(tiny, tmp_path / name), progress).manifest for name in ("a", "b"))
    assert first == second


def test_another_model_replaces_it(tiny: Path, tmp_path: Path, out: Path, progress) -> None:
    first = prepare(request(tiny, out), progress).manifest
    other = write_folder(tmp_path / "other", random_tensors(5))
    outcome = prepare(request(other, out), progress)
    assert outcome.made
    assert outcome.manifest.variants["int8"].fingerprint != first.variants["int8"].fingerprint


def test_one_precision_alone_has_the_same_fingerprint(tiny: Path, tmp_path: Path, progress) -> None:
    both = prepare(request(tiny, tmp_path / "both"), progress).manifest
    for precision in ("fp32", "int8"):
        folder = tmp_path / precision
        alone = prepare(request(tiny, folder, precisions=(precision,)), progress).manifest
        assert alone.variants == {precision: both.variants[precision]}
        assert alone.known_answers == both.known_answers
        assert not (folder / ({"fp32", "int8"} - {precision}).pop()).exists()


def test_a_missing_precision_is_added(tiny: Path, out: Path, progress) -> None:
    prepare(request(tiny, out, precisions=("fp32",)), progress)
    outcome = prepare(request(tiny, out), progress)
    assert outcome.made
    assert list(outcome.manifest.variants) == ["fp32", "int8"]


@pytest.mark.parametrize("name", ["int8/model.onnx", "known_answers.json", "manifest.json"])
def test_a_damaged_model_is_reported_and_rebuilt(tiny: Path, out: Path, progress, name: str) -> None:
    first = prepare(request(tiny, out), progress).manifest
    (out / name).write_bytes((out / name).read_bytes()[:-5])
    outcome = prepare(request(tiny, out), progress)
    assert outcome.made
    assert outcome.manifest == first
    assert "cannot be used and is made anew" in progress.text


def test_a_model_of_an_older_format_is_rebuilt(tiny: Path, out: Path, progress) -> None:
    first = prepare(request(tiny, out), progress).manifest
    path = out / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT - 1}))
    outcome = prepare(request(tiny, out), progress)
    assert outcome.made
    assert outcome.manifest == first
    assert f"has format {FORMAT - 1}" in progress.text


def test_a_foreign_folder_is_refused_before_anything_is_fetched(out: Path, progress) -> None:
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(PublishError, match="in the way"):
        prepare(request(out, out, fetch=never), progress)
    assert progress.lines == []


def test_the_pinned_model_is_recognised_without_its_source(model_dir: Path, progress) -> None:
    outcome = prepare(Request(model_dir, None, never, pinned=True), progress)
    assert not outcome.made
    assert outcome.manifest.source.sha256["model.safetensors"] == PINNED.sha256["model.safetensors"]


def test_an_older_recipe_is_not_recognised(model_dir: Path, progress, monkeypatch) -> None:
    monkeypatch.setitem(pipeline.BERT_RECIPES, "int8", "bert-int8/next")
    with pytest.raises(AssertionError, match="the source was asked"):
        prepare(Request(model_dir, None, never, pinned=True), progress)


def test_a_source_that_fails_leaves_nothing(out: Path, progress) -> None:
    with pytest.raises(SourceError):
        prepare(request(out.parent / "absent", out), progress)
    assert os.listdir(out.parent) == []


def test_an_unsupported_model_leaves_the_old_artefact(tiny: Path, tmp_path: Path, out: Path, progress) -> None:
    first = prepare(request(tiny, out), progress).manifest
    with pytest.raises(UnsupportedModel):
        prepare(request(write_folder(tmp_path / "n", model_type="mpnet"), out), progress)
    assert read_manifest(out) == first


def test_a_model_that_int8_does_not_suit_is_not_published(tiny: Path, out: Path, progress, monkeypatch) -> None:
    monkeypatch.setitem(known_answers.FLOOR, "int8", 0.9999999)
    with pytest.raises(SelfCheckError, match=r"int8 loses too much.*0\.9999999 needed.*--precision fp32"):
        prepare(request(tiny, out), progress)
    assert os.listdir(out.parent) == []
    prepare(request(tiny, out, precisions=("fp32",)), progress)


class Exact(Graph):
    """A graph on a CPU that computes int8 correctly, on every machine that runs the test."""

    def __init__(self, path: Path) -> None:
        if path.parent.name == "int8" and path.name == "model.onnx":
            exact = write_exact(path)
            super().__init__(exact)
            exact.unlink()
        else:
            super().__init__(path)


class Saturating(Exact):
    """A graph on a CPU whose int8 vectors are slightly wrong, as saturating kernels make them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._wrong = path.parent.name == "int8" and path.name == "model.onnx"

    def run(self, sequences, outputs=None, pad_id=0):
        results = super().run(sequences, outputs, pad_id)
        if self._wrong:
            results[0] = np.clip(results[0], -0.25, 0.25)
            results[0] /= np.linalg.norm(results[0], axis=1, keepdims=True)
        return results


def compute_by(monkeypatch, cpu: type[Graph]) -> None:
    monkeypatch.setattr(known_answers, "Graph", cpu)
    monkeypatch.setattr(pipeline, "Graph", cpu)


@pytest.mark.parametrize(
    ("precisions", "consequence"), [(None, "will serve fp32 instead"), (("int8",), "will not serve it")]
)
def test_a_cpu_that_computes_int8_wrong_publishes_the_same_model(
    tiny: Path, tmp_path: Path, progress, monkeypatch, precisions, consequence: str
) -> None:
    compute_by(monkeypatch, Exact)
    right = prepare(request(tiny, tmp_path / "right", precisions=precisions), progress).manifest
    assert "warning" not in progress.text
    compute_by(monkeypatch, Saturating)
    wrong = prepare(request(tiny, tmp_path / "wrong", precisions=precisions), progress).manifest
    assert wrong == right
    (warning,) = [line for line in progress.lines if line.startswith("warning")]
    assert consequence in warning


def test_a_cpu_that_computes_fp32_wrong_publishes_nothing(tiny: Path, out: Path, progress, monkeypatch) -> None:
    monkeypatch.setitem(known_answers.FLOOR, "fp32", 1.1)
    with pytest.raises(SelfCheckError, match=r"fp32 graph misses the known answers.*nothing was published"):
        prepare(request(tiny, out), progress)
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize("wrong_call", [0, 1], ids=["alone", "in a batch"])
def test_the_check_refuses_vectors_that_are_not_of_unit_length(
    tiny: Path, out: Path, progress, wrong_call: int
) -> None:
    prepare(request(tiny, out), progress)
    tokenizer = TextTokenizer(read_tokenizer(out), 32)
    graph = Graph(out / "fp32/model.onnx")
    known = known_answers.answer(graph, tokenizer, ["word1"])
    assert known_answers.check_fp32(graph, tokenizer, known).passed

    class Twice:
        calls = 0

        def run(self, sequences):
            factor = 2 if self.calls == wrong_call else 1
            self.calls += 1
            return [factor * vectors for vectors in graph.run(sequences)]

    with pytest.raises(SelfCheckError, match="least cosine nan"):
        known_answers.check_fp32(Twice(), tokenizer, known)


def test_two_at_once_make_one_artefact(tiny: Path, out: Path, progress) -> None:
    outcomes, barrier = [], threading.Barrier(3)

    def run() -> None:
        barrier.wait(10)
        outcomes.append(prepare(request(tiny, out), progress))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcome.made for outcome in outcomes) == [False, False, True]
    assert os.listdir(out.parent) == ["tiny"]


def test_a_given_graph_cannot_be_int8(tiny: Path, tmp_path: Path, progress) -> None:
    prepare(request(tiny, tmp_path / "made", precisions=("fp32",)), progress)
    given = tmp_path / "given"
    write_folder(given, model_type="mpnet")
    (given / "onnx").mkdir()
    for file in (tmp_path / "made/fp32").iterdir():
        file.rename(given / "onnx" / file.name)
    manifest = prepare(request(given, tmp_path / "a"), progress).manifest
    assert list(manifest.variants) == ["fp32"]
    assert manifest.variants["fp32"].recipe == "given"
    assert "no int8" in progress.text
    assert {name for name in manifest.source.sha256 if "onnx" in name} == {"onnx/model.onnx", "onnx/model.onnx.data"}
    with pytest.raises(UsageError, match="--precision int8"):
        prepare(request(given, tmp_path / "b", precisions=("int8",)), progress)


def test_serving_does_not_import_the_preparation() -> None:
    # A fresh interpreter loads every module outside prepare/; onnx and safetensors must not be loaded.
    code = """
import importlib, pkgutil, sys, tandem_embedder
for module in pkgutil.iter_modules(tandem_embedder.__path__, "tandem_embedder."):
    if module.name not in ("tandem_embedder.prepare", "tandem_embedder.__main__"):
        importlib.import_module(module.name)
found = {"onnx", "safetensors", "huggingface_hub", "tandem_embedder.prepare"} & sys.modules.keys()
sys.exit(", ".join(sorted(found)) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
