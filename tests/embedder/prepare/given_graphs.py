"""Graphs that a folder may contain."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

TABLE = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
INT, FLOAT = TensorProto.INT64, TensorProto.FLOAT
BATCH = [[1, 2, 3, 4], [5, 6]]


def write(
    path: Path,
    *,
    output: str = "last_hidden_state",
    inputs: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids"),
    type_: int = INT,
    opset: int = 14,
    dim: int | str = 6,
    pooled: bool = False,
) -> Path:
    """A "transformer" that looks up words and adds 100 for every token of type 1."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["words"])]
    last = "words"
    if "token_type_ids" in inputs:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["types"], to=FLOAT),
            helper.make_node("Unsqueeze", ["types", "two"], ["types3"]),
            helper.make_node("Mul", ["types3", "hundred"], ["shift"]),
            helper.make_node("Add", ["words", "shift"], ["shifted"]),
        ]
        last = "shifted"
    nodes.append(
        helper.make_node("ReduceMax", [last], [output], axes=[1], keepdims=0)
        if pooled
        else helper.make_node("Identity", [last], [output])
    )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, type_, ["b", "s"]) for name in inputs],
        [helper.make_tensor_value_info(output, FLOAT, ["b", dim] if pooled else ["b", "s", dim])],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([2]), "two"),
            numpy_helper.from_array(np.float32([100]), "hundred"),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def unit(vector):
    return vector / np.linalg.norm(vector)
