"""A folder's own graph, converted to the signature of prepared models."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tandem_embedder.prepare import given_graph
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.graph_builder import save_with_external_data
from tandem_embedder.prepare.recipes import BertRecipe, GivenRecipe, plan
from tandem_embedder.prepare.runtime import Graph
from tests.embedder.prepare.given_graphs import BATCH, TABLE, unit, write


def run(path: Path, out: Path, sequences: list[list[int]], pooling="mean"):
    model, dim = given_graph.adapt(path, pooling)
    assert dim == 6
    save_with_external_data(model, out)
    assert [value.name for value in onnx.load(out).graph.input] == ["input_ids", "attention_mask"]
    return Graph(out).run(sequences)[0]


@pytest.mark.parametrize("type_", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize("output", ["last_hidden_state", "token_embeddings"])
def test_token_vectors_get_the_pooling_head(tmp_path: Path, type_: int, output: str) -> None:
    path = write(tmp_path / "model.onnx", type_=type_, output=output)
    expected = [unit(TABLE[ids].mean(axis=0)) for ids in BATCH]
    np.testing.assert_allclose(run(path, tmp_path / "o/m.onnx", BATCH), expected, atol=1e-6)


def test_cls_pooling(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx")
    expected = [unit(TABLE[ids[0]]) for ids in BATCH]
    np.testing.assert_allclose(run(path, tmp_path / "o/m.onnx", BATCH, "cls"), expected, atol=1e-6)


@pytest.mark.parametrize("output", ["sentence_embedding", "embedding"])
@pytest.mark.parametrize("inputs", [("input_ids",), ("input_ids", "attention_mask")])
def test_a_pooled_output_is_only_normalised(tmp_path: Path, output: str, inputs: tuple[str, ...]) -> None:
    path = write(tmp_path / "model.onnx", output=output, inputs=inputs, pooled=True)
    expected = [unit(TABLE[ids].max(axis=0)) for ids in BATCH]
    got = [run(path, tmp_path / "o/m.onnx", [ids])[0] for ids in BATCH]
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ("input_ids", "position_ids")}, "input position_ids: the inputs supported"),
        ({"inputs": ("input_ids",), "type_": TensorProto.FLOAT}, "integers"),
        ({"output": "logits"}, "output logits: one of sentence_embedding"),
        ({"dim": "d"}, "output last_hidden_state: 3 axes"),
        ({"opset": 12, "inputs": ("input_ids",)}, "operator set 12 is too old"),
    ],
)
def test_an_unusable_graph_is_refused_by_name(tmp_path: Path, changes, message: str) -> None:
    path = write(tmp_path / "model.onnx", **changes)
    with pytest.raises(UnsupportedModel, match=message):
        given_graph.adapt(path, "mean")


@pytest.mark.parametrize("content", [b"", b"not a graph at all", b"\x08"])
def test_an_invalid_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModel, match=r"model\.onnx cannot be read as ONNX"):
        given_graph.adapt(path, "mean")


def test_external_data_counts_for_the_hash_and_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx")
    alone = given_graph.weights_digest(path)
    files = save_with_external_data(_grown(path), path)
    assert given_graph.source_files(path) == files
    before = given_graph.weights_digest(path)
    files[1].write_bytes(files[1].read_bytes()[:-1] + b"\x7f")
    assert len({alone, before, given_graph.weights_digest(path)}) == 3
    files[1].unlink()
    with pytest.raises(UnsupportedModel, match=r"external data 'model\.onnx\.data': is missing"):
        given_graph.weights_digest(path)


def _grown(path: Path) -> onnx.ModelProto:
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.repeat(TABLE, 10, axis=0), "table"))
    return model


def test_a_bert_with_weights_is_written_here_all_the_same(tiny: Path) -> None:
    write(tiny / "onnx/model.onnx")
    assert isinstance(plan(tiny).recipe, BertRecipe)
    (tiny / "model.safetensors").unlink()
    assert isinstance(plan(tiny).recipe, GivenRecipe)


def test_a_folder_with_neither_is_refused(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=r"neither model\.safetensors nor model\.onnx"):
        plan(tiny)
