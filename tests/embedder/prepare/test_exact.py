"""The int8 graph in exact arithmetic."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tandem_embedder.prepare.exact_int8 import OPERATORS, write_exact
from tandem_embedder.prepare.graph_builder import GraphBuilder, save_with_external_data
from tandem_embedder.prepare.pipeline import Request, prepare
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.sources import LocalFolder

DEPTH, COLUMNS, ZERO = 512, 3, 7
INTEGERS = np.tile(np.array([127, -127, 1], np.int8), (DEPTH, 1))
SCALE, SCALES = np.float32(0.5), np.array([0.25, 0.5, 1], np.float32)
BIAS = np.array([1, 2, 3], np.float32)


def product(path: Path, bias: bool) -> Path:
    """Write a graph whose embedding is ids, as uint8, times INTEGERS; sums of two products overflow 16 bits."""
    graph = GraphBuilder()
    inputs = [
        graph.node("Cast", ["input_ids"], "bytes", to=TensorProto.UINT8),
        graph.tensor("weight", INTEGERS),
        graph.tensor("scale", SCALE),
        graph.tensor("weight_scale", SCALES),
        graph.tensor("zero", np.array(ZERO, np.uint8)),
        *(["", graph.tensor("bias", BIAS)] if bias else []),
    ]
    graph.microsoft_node("MatMulIntegerToFloat", inputs, "embedding")
    # Every graph has the mask as an input; this one uses it nowhere else.
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


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of its branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


@pytest.fixture
def int8(tiny: Path, tmp_path: Path, progress) -> Path:
    """The tiny model, prepared."""
    prepare(Request(tmp_path / "out", None, LocalFolder(tiny).fetch, pinned=False), progress)
    return tmp_path / "out"


def test_all_integer_kernels_are_replaced_and_all_other_nodes_kept(int8: Path) -> None:
    graph = int8 / "int8/model.onnx"
    before = onnx.load(graph, load_external_data=False).graph
    after = onnx.load(write_exact(graph), load_external_data=False).graph
    assert {node.op_type for node in all_nodes(before)} >= set(OPERATORS)
    assert {node.op_type for node in all_nodes(after)}.isdisjoint(OPERATORS)
    kept = [node for node in before.node if node.op_type not in (*OPERATORS, "If")]
    names = {node.name for node in kept}
    assert [node for node in after.node if node.name in names] == kept
    assert list(after.initializer) == list(before.initializer)


@pytest.mark.parametrize("padded", [False, True])
def test_quantised_attention_is_its_own_in_exact_arithmetic(tmp_path: Path, padded: bool) -> None:
    # With weights this small no sum of two products exceeds 16 bits, so every CPU's kernel is exact too.
    hidden, heads = 8, 2
    rng = np.random.default_rng(3)
    graph = GraphBuilder()
    ids = graph.node("Cast", ["input_ids"], "bytes", to=TensorProto.UINT8)
    column = graph.node("Unsqueeze", [ids, graph.integers(-1)], "column")
    spread = graph.node("Expand", [column, graph.integers(1, 1, hidden)], "spread")
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    inputs = [
        spread,
        graph.tensor("weight", rng.integers(-60, 60, (hidden, 3 * hidden)).astype(np.int8)),
        graph.tensor("bias", rng.standard_normal(3 * hidden).astype(np.float32)),
        graph.tensor("scale", np.array(0.01, np.float32)),
        graph.tensor("weight_scale", np.full(3 * hidden, 0.02, np.float32)),
        mask if padded else "",
        graph.tensor("zero", np.array(ZERO, np.uint8)),
    ]
    attended = graph.microsoft_node("QAttention", inputs, "attended", num_heads=heads)
    graph.named_node("ReduceMean", [attended], "embedding", axes=[1], keepdims=0)
    if not padded:
        graph.node("Identity", ["attention_mask"], "unused")
    path = tmp_path / "model.onnx"
    save_with_external_data(graph.build("attention", hidden), path)
    texts = [[3, 60, 9], [5, 80, 100]]
    own, exact = (Graph(written).run(texts)[0] for written in (path, write_exact(path)))
    np.testing.assert_allclose(exact, own, atol=1e-6)
