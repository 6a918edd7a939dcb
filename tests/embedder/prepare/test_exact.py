"""The int8 graph in exact arithmetic."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tandem_embedder.prepare.exact import OPERATOR, write_exact
from tandem_embedder.prepare.graph_builder import GraphBuilder, save_with_external_data
from tandem_embedder.prepare.pipeline import Request, prepare
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.sources import LocalFolder

DEPTH, COLUMNS, ZERO = 512, 3, 7
INTEGERS = np.tile(np.array([127, -127, 1], np.int8), (DEPTH, 1))
SCALE, SCALES = np.float32(0.5), np.array([0.25, 0.5, 1], np.float32)
BIAS = np.array([1, 2, 3], np.float32)


def product(path: Path, bias: bool) -> Path:
    """Write a graph whose embedding is ids, as uint8, times INTEGERS; the pairs of its products overflow 16 bits."""
    graph = GraphBuilder()
    inputs = [
        graph.node("Cast", ["input_ids"], "bytes", to=TensorProto.UINT8),
        graph.tensor("weight", INTEGERS),
        graph.tensor("scale", SCALE),
        graph.tensor("weight_scale", SCALES),
        graph.tensor("zero", np.array(ZERO, np.uint8)),
        *(["", graph.tensor("bias", BIAS)] if bias else []),
    ]
    graph.microsoft_node(OPERATOR, inputs, "embedding")
    # The mask is an input of every graph; here nothing else uses it.
    graph.node("Identity", ["attention_mask"], "unused")
    save_with_external_data(graph.build("product", COLUMNS), path)
    return path


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("byte", [0, 255])
def test_the_product_is_that_of_the_integers(tmp_path: Path, bias: bool, byte: int) -> None:
    ids = [byte] * DEPTH
    written = write_exact(product(tmp_path / "model.onnx", bias))
    sums = (np.array(ids) - ZERO) @ INTEGERS.astype(np.int64)
    expected = sums.astype(np.float32) * (SCALE * SCALES) + (BIAS if bias else 0)
    np.testing.assert_array_equal(Graph(written).run([ids])[0], [expected])


@pytest.fixture
def int8(tiny: Path, tmp_path: Path, progress) -> Path:
    """The tiny model, prepared."""
    prepare(Request(tmp_path / "out", None, LocalFolder(tiny).fetch, pinned=False), progress)
    return tmp_path / "out"


def test_nothing_is_left_of_the_integer_kernels_and_all_else_is_kept(int8: Path) -> None:
    graph = int8 / "int8/model.onnx"
    before = onnx.load(graph, load_external_data=False).graph
    after = onnx.load(write_exact(graph), load_external_data=False).graph
    assert OPERATOR in {node.op_type for node in before.node}
    assert OPERATOR not in {node.op_type for node in after.node}
    assert [node for node in before.node if node.op_type != OPERATOR] == [
        node for node in after.node if node.name in {kept.name for kept in before.node if kept.op_type != OPERATOR}
    ]
    assert list(after.initializer) == list(before.initializer)
