"""From token vectors to one vector of unit length a text.

The mask takes part as a number: padding has weight 0, so whatever stands in its rows never reaches the
vector. All vectors are normalised, whether the model's modules.json says so or not: a cosine does not
see the difference, and the artefact promises unit length.
"""

import numpy as np
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import ATTENTION_MASK, EMBEDDING, GraphBuilder
from tandem_embedder.prepare.model_spec import Pooling

SMALLEST_NORM = 1e-12
"""Under it a vector is left as it is instead of divided by nothing; torch's ``normalize`` has the same."""


def add_pooling(graph: GraphBuilder, hidden: str, pooling: Pooling) -> str:
    """Add pooling and return its output's name, ``(rows, dim) float32``; its length is not yet 1.

    Args:
        graph: the graph to add to; mean pooling reads the input ``attention_mask``, ``(rows, length) int64``.
        hidden: token vectors, ``(rows, length, dim) float32``.
        pooling: which token vectors make the text's vector.
    """
    if pooling == "cls":
        first = graph.tensor("pooling.first", np.array(0, np.int64))
        return graph.node("Gather", [hidden, first], "pooling.cls", axis=1)
    mask = graph.node("Cast", [ATTENTION_MASK], "pooling.mask", to=TensorProto.FLOAT)
    rows = graph.node("Unsqueeze", [mask, graph.integers(1)], "pooling.mask_rows")
    # A mean is this sum divided by a number, and the norm takes any number out again.
    total = graph.node("MatMul", [rows, hidden], "pooling.total")
    return graph.node("Squeeze", [total, graph.integers(1)], "pooling.sum")


def add_l2_norm(graph: GraphBuilder, pooled: str) -> str:
    """Add the norm of ``pooled``, ``(rows, dim) float32``, and return the output's name, ``embedding``."""
    square = graph.node("Mul", [pooled, pooled], "pooling.square")
    norm2 = graph.node("ReduceSum", [square, graph.integers(-1)], "pooling.norm2", keepdims=1)
    norm = graph.node("Sqrt", [norm2], "pooling.norm")
    divisor = graph.node("Max", [norm, graph.scalar(SMALLEST_NORM)], "pooling.divisor")
    return graph.named_node("Div", [pooled, divisor], EMBEDDING)
