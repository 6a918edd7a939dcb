"""The folder's own model.onnx, adapted to the inputs and the output of a prepared model.

The source graph may have the inputs ``input_ids`` and ``attention_mask``, int64 or int32, and ``token_type_ids``, which
the adapted graph fills with zeros. The embedding is the source graph's pooled output. If there is none, the pooling
head is added to the token vectors.

Nothing inside the source graph changes, so it has no second precision. It becomes the prepared model's ``fp32``
variant, whatever number format its author chose.
"""

import hashlib
import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tandem_embedder.model.prepared_model import sha256_of
from tandem_embedder.prepare import external_data
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.graph_builder import ATTENTION_MASK, EMBEDDING, INPUT_IDS, GraphBuilder
from tandem_embedder.prepare.model_spec import Pooling
from tandem_embedder.prepare.pooling_head import add_l2_norm, add_pooling

TYPE_IDS = "token_type_ids"
PLACES = ("model.onnx", "onnx/model.onnx")
POOLED_OUTPUTS = ("sentence_embedding", EMBEDDING)
TOKEN_OUTPUTS = ("token_embeddings", "last_hidden_state")
OLDEST_OPSET = 13
"""The first operator set in which Unsqueeze, Squeeze and ReduceSum take their axes as an input, as the head does."""


def find_graph(folder: Path) -> Path | None:
    """Return the path of the folder's own graph; None if it has none."""
    return next((folder / place for place in PLACES if (folder / place).is_file()), None)


def source_files(path: Path) -> list[Path]:
    """Return the graph's file and its external-data files.

    Raises:
        UnsupportedModel: if the graph cannot be read, or an external-data file does not belong to the model.
    """
    return [path, *external_data.files(path, _parse(path))]


def weights_digest(path: Path) -> str:
    """Return one hexadecimal SHA-256 for the graph's file and its external data."""
    digests = [sha256_of(file) for file in source_files(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def adapt(path: Path, pooling: Pooling) -> tuple[onnx.ModelProto, int]:
    """Return the graph with the inputs and the output of a prepared model, and the vectors' dimension.

    Raises:
        UnsupportedModel: if an input is unknown, no output is usable, or the operator set is too old.
    """
    model = _parse(path)
    external_data.load(path, model)
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    if opset < OLDEST_OPSET:
        raise UnsupportedModel(f"{path}: operator set {opset} is too old ({OLDEST_OPSET} is the oldest supported)")
    before, after = GraphBuilder("tandem."), GraphBuilder("tandem.")
    _rename(model, {EMBEDDING: "given.embedding"})
    _adapt_inputs(path, model, before)
    dim = _adapt_output(path, model, after, pooling)
    nodes = [*before.nodes, *model.graph.node, *after.nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend({t.name: t for t in [*before.tensors, *after.tensors]}.values())
    return model, dim


def _parse(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        # onnx does not document the exceptions that protobuf raises for a damaged file.
        raise UnsupportedModel(f"{path} cannot be read as ONNX: {error}") from error
    if not model.graph.node:
        raise UnsupportedModel(f"{path} cannot be read as ONNX: it has no nodes")
    return model


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename values of the graph, but not of its subgraphs, which cannot define the graph's outputs."""
    for node in model.graph.node:
        for names_of in (node.input, node.output):
            for index, name in enumerate(names_of):
                names_of[index] = names.get(name, name)
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        value.name = names.get(value.name, value.name)


def _adapt_inputs(path: Path, model: onnx.ModelProto, graph: GraphBuilder) -> None:
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initialised}
    unknown = sorted(inputs.keys() - {INPUT_IDS, ATTENTION_MASK, TYPE_IDS})
    if unknown or INPUT_IDS not in inputs:
        raise UnsupportedModel(
            f"{path}: input {', '.join(unknown) or INPUT_IDS + ' is missing'}: "
            f"the inputs supported are {INPUT_IDS}, {ATTENTION_MASK} and {TYPE_IDS}"
        )
    types = {name: value.type.tensor_type.elem_type for name, value in inputs.items()}
    for name, type_ in types.items():
        if type_ not in {TensorProto.INT64, TensorProto.INT32}:
            raise UnsupportedModel(f"{path}: input {name}: integers of 64 or 32 bits are needed")
    # Rename each input inside the graph. The old name becomes the int64 input of the prepared model.
    _rename(model, {name: f"given.{name}" for name in inputs})
    for name, type_ in types.items():
        # The token type is 0 for a single text; only pairs have others.
        value = graph.node("Sub", [INPUT_IDS, INPUT_IDS], "types.zero") if name == TYPE_IDS else name
        graph.named_node("Cast", [value], f"given.{name}", to=type_)
    kept = [value for value in model.graph.input if value.name in initialised]
    del model.graph.input[:]
    shape = ["rows", "length"]
    model.graph.input.extend(
        [
            helper.make_tensor_value_info(INPUT_IDS, TensorProto.INT64, shape),
            helper.make_tensor_value_info(ATTENTION_MASK, TensorProto.INT64, shape),
            *kept,
        ]
    )


def _adapt_output(path: Path, model: onnx.ModelProto, graph: GraphBuilder, pooling: Pooling) -> int:
    outputs = {value.name.removeprefix("given."): value for value in model.graph.output}
    for names, rank in ((POOLED_OUTPUTS, 2), (TOKEN_OUTPUTS, 3)):
        for name in names:
            if name not in outputs:
                continue
            value = outputs[name]
            dims = value.type.tensor_type.shape.dim
            if len(dims) != rank or dims[-1].dim_value < 1:
                raise UnsupportedModel(f"{path}: output {name}: {rank} axes are needed, the last one of fixed size")
            dim = int(dims[-1].dim_value)
            result = graph.node("Cast", [value.name], "float", to=TensorProto.FLOAT)
            add_l2_norm(graph, result if rank == 2 else add_pooling(graph, result, pooling))
            del model.graph.output[:]
            model.graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["rows", dim]))
            return dim
    raise UnsupportedModel(
        f"{path}: output {', '.join(sorted(outputs))}: one of {', '.join((*POOLED_OUTPUTS, *TOKEN_OUTPUTS))} is needed"
    )
