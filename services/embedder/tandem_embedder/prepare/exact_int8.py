"""An int8 graph in exact arithmetic: the result that its weights and scales define, on any CPU.

onnxruntime multiplies integers with the CPU's own instructions. With VNNI or AMX the sums are exact. With AVX2 alone,
the CPU adds pairs of products in 16 bits, and the sums saturate (Intel SDM, ``VPMADDUBSW``). The vectors are then
silently a little wrong.

Here float64 products replace each integer product of the recipe: ``MatMulIntegerToFloat`` and the one inside
``QAttention``. Their sums stay below ``255 * 127 * in``, far under ``2**53``, so they are exact in any order and on
every CPU. The steps after the product use float32, as inside the operators (docs/ContribOperators.md of onnxruntime).
"""

from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import GraphBuilder

OPERATORS = ("MatMulIntegerToFloat", "QAttention")
"""Operators of the int8 recipe with integer kernels. An exact graph contains none of them."""


class _Product(NamedTuple):
    """Tensor names of an integer product; ``bias`` is empty if there is none."""

    values: str
    weight: str
    scale: str
    weight_scale: str
    zero: str
    bias: str


def write_exact(path: Path) -> Path:
    """Write an exact version of the graph at ``path`` beside it, and return the new path.

    The new graph refers to the same external data.
    """
    model = onnx.load(path, load_external_data=False)
    _rewrite(model.graph)
    written = path.with_name("exact.onnx")
    written.write_bytes(model.SerializeToString(deterministic=True))
    return written


def _rewrite(graph: onnx.GraphProto) -> None:
    """Replace the integer products of a graph and of its branches."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        replacement = GraphBuilder()
        if node.op_type == "MatMulIntegerToFloat":
            _matmul_integer_to_float(replacement, node)
        elif node.op_type == "QAttention":
            _quantised_attention(replacement, node)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rewrite(attribute.g)
        nodes += replacement.nodes or [node]
    del graph.node[:]
    graph.node.extend(nodes)


def _matmul_integer_to_float(graph: GraphBuilder, node: onnx.NodeProto) -> None:
    # Inputs in the operator's order. The int8 recipe does not use the sixth, a zero point of the weights.
    values, weight, scale, weight_scale, zero, *rest = node.input
    bias = rest[1] if len(rest) > 1 else ""
    _multiply(graph, node.output[0], _Product(values, weight, scale, weight_scale, zero, bias))


def _quantised_attention(graph: GraphBuilder, node: onnx.NodeProto) -> None:
    # Inputs in the operator's order. The int8 recipe uses neither the weights' zero point nor past keys and values.
    values, weight, bias, scale, weight_scale, mask, zero = node.input[:7]
    name = node.output[0]
    packed = f"{name}.packed"
    _multiply(graph, packed, _Product(values, weight, scale, weight_scale, zero, bias))
    query = graph.node("Split", [packed], f"{name}.query", outputs=3, axis=-1)
    (heads,) = [attribute.i for attribute in node.attribute if attribute.name == "num_heads"]
    inputs = [query, f"{query}.1", f"{query}.2", "", mask]
    graph.microsoft_node("MultiHeadAttention", inputs, name, num_heads=heads)


def _multiply(graph: GraphBuilder, name: str, product: _Product) -> None:
    wide = graph.node("Cast", [product.values], f"{name}.values", to=TensorProto.DOUBLE)
    offset = graph.node("Cast", [product.zero], f"{name}.offset", to=TensorProto.DOUBLE)
    centred = graph.node("Sub", [wide, offset], f"{name}.centred")
    weights = graph.node("Cast", [product.weight], f"{name}.integers", to=TensorProto.DOUBLE)
    total = graph.node("MatMul", [centred, weights], f"{name}.total")
    total = graph.node("Cast", [total], f"{name}.sum", to=TensorProto.FLOAT)
    scales = graph.node("Mul", [product.scale, product.weight_scale], f"{name}.scales")
    if not product.bias:
        graph.named_node("Mul", [total, scales], name)
        return
    scaled = graph.node("Mul", [total, scales], f"{name}.scaled")
    graph.named_node("Add", [scaled, product.bias], name)
