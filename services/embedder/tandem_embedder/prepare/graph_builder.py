"""A thin wrapper around ``onnx.helper``: names nodes and tensors, and writes large tensors to an external file.

Format: ONNX IR, ``TensorProto.external_data`` (onnx/onnx.proto and docs/ExternalData.md of the ONNX project). The
tensor names a file beside the graph, an offset and a length. onnxruntime maps that file into memory, so the kernel
shares its pages between processes and can drop them. Tensors inside the graph would be copied to the heap.
"""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The first operator set with LayerNormalization. Nothing needs a newer one, and older runtimes can read this one."""
MICROSOFT_DOMAIN = "com.microsoft"
IR_VERSION = 9

INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
EMBEDDING = "embedding"

ALIGNMENT = 4096
"""Bytes; one page, so that every mapped tensor starts on its own page."""
INLINE_BYTES = 1024
"""Maximum size of a tensor that stays in the graph, in bytes: scales and axes, which shape inference reads."""


class GraphBuilder:
    """Collects nodes in execution order, and initialisers.

    Args:
        prefix: prefix of all names, for nodes that are added to an existing graph.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(self, op_type: str, inputs: list[str], name: str, *, outputs: int = 1, **attributes: Any) -> str:
        """Add an ONNX operator and return the name of its first output: the prefix and ``name``.

        The names of further outputs end in ``.1``, ``.2`` and so on.
        """
        first = self._prefix + name
        names = [first, *(f"{first}.{index}" for index in range(1, outputs))]
        return self._add(op_type, inputs, names, None, attributes)

    def named_node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add an ONNX operator whose output is named ``output``, without the prefix."""
        return self._add(op_type, inputs, [output], None, attributes)

    def microsoft_node(self, op_type: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add an operator of onnxruntime's own domain (docs/ContribOperators.md of onnxruntime)."""
        return self._add(op_type, inputs, [self._prefix + name], MICROSOFT_DOMAIN, attributes)

    def either(self, condition: str, name: str, write: Callable[["GraphBuilder", bool], str]) -> str:
        """Add an ``If`` and return its output's name: the prefix and ``name``.

        Args:
            condition: name of a one-element ``bool`` tensor, computed when the graph runs.
            name: name of the output, without the prefix.
            write: called once for each branch, with the branch's builder and the value of ``condition``. It adds nodes
                and returns the output's name. The tensors that it uses must already be in this graph.
        """
        branches = {"then_branch": self._branch(name, write, True), "else_branch": self._branch(name, write, False)}
        return self._add("If", [condition], [self._prefix + name], None, branches)

    def _branch(self, name: str, write: Callable[["GraphBuilder", bool], str], holds: bool) -> onnx.GraphProto:
        # Names in a branch must differ from those outside.
        branch = GraphBuilder(f"{self._prefix}{name}.{'then' if holds else 'else'}.")
        output = helper.make_tensor_value_info(write(branch, holds), TensorProto.FLOAT, None)
        return helper.make_graph(branch.nodes, output.name, [], [output])

    def _add(
        self, op_type: str, inputs: list[str], outputs: list[str], domain: str | None, attributes: dict[str, Any]
    ) -> str:
        self._nodes.append(
            helper.make_node(op_type, inputs, outputs, name=self._prefix + outputs[0], domain=domain, **attributes)
        )
        return outputs[0]

    def tensor(self, name: str, values: NDArray[Any]) -> str:
        """Add an initialiser with the array's dtype and return its name. Adds nothing if the name exists."""
        name = self._prefix + name
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def scalar(self, value: float) -> str:
        """Add a float32 constant and return its name."""
        return self.tensor(f"float:{value!r}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Add a one-dimensional int64 constant (axes, slices) and return its name."""
        return self.tensor(f"int64:{','.join(map(str, values))}", np.array(values, np.int64))

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes added so far."""
        return self._nodes

    @property
    def tensors(self) -> list[onnx.TensorProto]:
        """The initialisers added so far."""
        return list(self._initializers.values())

    def build(self, name: str, dim: int, extra_outputs: list[str] | None = None) -> onnx.ModelProto:
        """Return the model with the two inputs of a prepared model, its ``embedding`` and any ``extra_outputs``."""
        rows_length = ["rows", "length"]
        graph = helper.make_graph(
            self._nodes,
            name,
            inputs=[
                helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, rows_length),
                helper.make_tensor_value_info(ATTENTION_MASK, TensorProto.INT64, rows_length),
            ],
            outputs=[
                helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["rows", dim]),
                *(helper.make_tensor_value_info(extra, TensorProto.FLOAT, None) for extra in extra_outputs or ()),
            ],
            initializer=list(self._initializers.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT_DOMAIN, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, producer_name="tandem_embedder.prepare", ir_version=IR_VERSION
        )


def save_with_external_data(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Write ``model`` to ``path`` and its large tensors to ``path`` + ``.data``; return the written files.

    Every tensor in the data file starts at a multiple of ``ALIGNMENT`` bytes. The function changes ``model``: its large
    tensors only refer to the file afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data_path = path.with_name(path.name + ".data")
    with data_path.open("wb") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) > INLINE_BYTES:
                _move_out(tensor, file, data_path.name)
        external = file.tell() > 0
    path.write_bytes(model.SerializeToString(deterministic=True))
    if not external:
        data_path.unlink()
        return [path]
    return [path, data_path]


def _move_out(tensor: onnx.TensorProto, file: IO[bytes], location: str) -> None:
    file.write(b"\0" * (-file.tell() % ALIGNMENT))
    entries = {"location": location, "offset": str(file.tell()), "length": str(len(tensor.raw_data))}
    file.write(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
