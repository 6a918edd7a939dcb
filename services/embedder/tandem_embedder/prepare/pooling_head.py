"""Pooling: token vectors → one vector of unit length per text.

The mask is used as a weight. Padding has weight 0, so the values of its rows never reach the vector. The head always
normalises, whether the model's modules.json says so or not: normalisation does not change a cosine, and prepared models
guarantee unit length.
"""

import numpy as np
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import ATTENTION_MASK, EMBEDDING, GraphBuilder
from tandem_embedder.prepare.model_spec import Pooling

SMALLEST_NORM = 1e-12
"""Lower bound of the divisor, which prevents a division by zero. torch's ``normalize`` has the same default."""


def add_pooling(graph: GraphBuilder, hidden: str, pooling: Pooling) -> str:
    """Add pooling and return the name of its output, ``(rows, dim) float32``, not normalised.

    Args:
        graph: graph to add to. Mean pooling reads its input ``attention_mask``, ``(rows, length) int64``.
        hidden: name of the token vectors, ``(rows, length, dim) float32``.
        pooling: pooling mode.
    """
    if pooling == "cls":
        first = graph.tensor("pooling.first", np.array(0, np.int64))
        return graph.node("Gather", [hidden, first], "pooling.cls", axis=1)
    mask = graph.node("Cast", [ATTENTION_MASK], "pooling.mask", to=TensorProto.FLOAT)
    rows = graph.node("Unsqueeze", [mask, graph.integers(1)], "pooling.mask_rows")
    # The mean is this sum divided by the number of tokens. L2 normalisation cancels that factor, so skip the division.
    total = graph.node("MatMul", [rows, hidden], "pooling.total")
    return graph.node("Squeeze", [total, graph.integers(1)], "pooling.sum")


def add_l2_norm(graph: GraphBuilder, pooled: str) -> str:
    """Add L2 normalisation of ``pooled``, ``(rows, dim) float32``, and return the output's name, ``embedding``."""
    square = graph.node("Mul", [pooled, pooled], "pooling.square")
    norm2 = graph.node("ReduceSum", [square, graph.integers(-1)], "pooling.norm2", keepdims=1)
    norm = graph.node("Sqrt", [norm2], "pooling.norm")
    divisor = graph.node("Max", [norm, graph.scalar(SMALLEST_NORM)], "pooling.divisor")
    return graph.named_node("Div", [pooled, divisor], EMBEDDING)
