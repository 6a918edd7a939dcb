"""An int8 graph in exact arithmetic: what its weights and scales say, whatever the CPU does to integer products.

onnxruntime multiplies integers with the instructions that the CPU has. With VNNI or AMX their sums are exact; with
AVX2 alone, pairs of products are added in 16 bits and saturate (Intel SDM, ``VPMADDUBSW``), and the vectors are
silently a little wrong. Here each ``MatMulIntegerToFloat`` is a product in float64 instead. Its sums stay below
``255 * 127 * in``, far under ``2**53``, and are exact in any order and on every CPU; what follows is float32, in the
same steps as inside the operator (docs/ContribOperators.md of onnxruntime).
"""

from pathlib import Path

import onnx
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import GraphBuilder

OPERATOR = "MatMulIntegerToFloat"


def write_exact(path: Path) -> Path:
    """Write the graph at ``path`` in exact arithmetic beside it, with the same external data; return where."""
    model = onnx.load(path, load_external_data=False)
    exact = GraphBuilder()
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != OPERATOR:
            nodes.append(node)
            continue
        first = len(exact.nodes)
        _multiply(exact, node)
        nodes += exact.nodes[first:]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    written = path.with_name("exact.onnx")
    written.write_bytes(model.SerializeToString(deterministic=True))
    return written


def _multiply(graph: GraphBuilder, node: onnx.NodeProto) -> None:
    # Inputs, in the operator's order; the sixth, a zero point of the weights, is not used by the int8 recipe.
    values, weight, scale, weight_scale, zero, *rest = node.input
    bias = rest[1] if len(rest) > 1 else ""
    name = node.output[0]
    wide = graph.node("Cast", [values], f"{name}.values", to=TensorProto.DOUBLE)
    offset = graph.node("Cast", [zero], f"{name}.offset", to=TensorProto.DOUBLE)
    centred = graph.node("Sub", [wide, offset], f"{name}.centred")
    weights = graph.node("Cast", [weight], f"{name}.integers", to=TensorProto.DOUBLE)
    total = graph.node("MatMul", [centred, weights], f"{name}.total")
    total = graph.node("Cast", [total], f"{name}.sum", to=TensorProto.FLOAT)
    scales = graph.node("Mul", [scale, weight_scale], f"{name}.scales")
    if not bias:
        graph.named_node("Mul", [total, scales], name)
        return
    scaled = graph.node("Mul", [total, scales], f"{name}.scaled")
    graph.named_node("Add", [scaled, bias], name)
