"""A BERT encoder (Devlin et al. 2018, arXiv 1810.04805; the post-LayerNorm arrangement), op by op.

This module replaces an exporter with onnxruntime's own fusions. The fused SkipLayerNormalization runs scalar code on a
CPU and took a quarter of an int8 run. Here a residual is a plain sum followed by LayerNormalization. Query, key and
value are one projection, quantised once.

Outside attention, tokens are independent of each other. There, hidden states are ``(tokens, hidden)``: quantisation
with one scale per token needs one row per token.
"""

import onnx

from tandem_embedder.prepare.graph_builder import ATTENTION_MASK, INPUT_IDS, GraphBuilder
from tandem_embedder.prepare.model_spec import BertConfig, Pooling
from tandem_embedder.prepare.pooling_head import add_l2_norm, add_pooling
from tandem_embedder.prepare.projections import Projections, Texts
from tandem_embedder.prepare.weights import BertWeights, Layer, Norm


def bert_graph(
    config: BertConfig,
    weights: BertWeights,
    pooling: Pooling,
    projections: Projections,
    extra_outputs: list[str] | None = None,
) -> onnx.ModelProto:
    """Return the model from ``input_ids`` and ``attention_mask`` to ``embedding``.

    Args:
        config: the encoder's configuration.
        weights: the encoder's tensors.
        pooling: pooling of the token vectors to one vector.
        projections: multiplications by the weights, which determine the precision.
        extra_outputs: names of inner tensors to add as outputs.
    """
    return _BertWriter(config, projections).write(weights, pooling, extra_outputs)


class _BertWriter:
    def __init__(self, config: BertConfig, projections: Projections) -> None:
        self._config = config
        self._projections = projections
        self._graph = GraphBuilder()

    def write(self, weights: BertWeights, pooling: Pooling, extra_outputs: list[str] | None) -> onnx.ModelProto:
        graph = self._graph
        mask = graph.node("Cast", [ATTENTION_MASK], "padding_mask", to=onnx.TensorProto.INT32)
        rows_length = graph.node("Shape", [INPUT_IDS], "rows_length")
        shape = graph.node("Concat", [rows_length, graph.integers(-1)], "texts.shape", axis=0)
        texts = Texts(shape, mask, self._config.num_attention_heads)
        hidden = self._embeddings(weights)
        for index, layer in enumerate(weights.layers):
            hidden = self._layer(f"layer{index}", layer, hidden, texts)
        hidden = graph.node("Reshape", [hidden, shape], "hidden.of_texts")
        add_l2_norm(graph, add_pooling(graph, hidden, pooling))
        return graph.build("bert", self._config.hidden_size, extra_outputs)

    def _embeddings(self, weights: BertWeights) -> str:
        graph = self._graph
        words = self._projections.words(graph, weights.words)
        shape = graph.node("Shape", [INPUT_IDS], "length", start=1, end=2)
        table = graph.tensor("positions.table", weights.positions)
        zero = graph.integers(0)
        positions = graph.node("Slice", [table, zero, shape, zero], "positions")
        # Sum, not Add, here and below: at load onnxruntime would fuse Add with LayerNormalization.
        total = graph.node("Sum", [words, positions], "embeddings.sum")
        return self._norm("embeddings.norm", self._by_token(total), weights.embedding_norm)

    def _by_token(self, of_texts: str) -> str:
        shape = self._graph.integers(-1, self._config.hidden_size)
        return self._graph.node("Reshape", [of_texts, shape], f"{of_texts}.by_token")

    def _layer(self, at: str, layer: Layer, hidden: str, texts: Texts) -> str:
        graph, project = self._graph, self._projections
        context = self._by_token(project.attention(graph, at, hidden, layer, texts))
        attended = project.after_attention(graph, at, context, layer.attention_output)
        residual = graph.node("Sum", [attended, hidden], f"{at}.attention_sum")
        hidden = self._norm(f"{at}.attention_norm", residual, layer.attention_norm)

        wide = project.after_norm(graph, f"{at}.intermediate", hidden, layer.intermediate)
        active = self._activation(f"{at}.active", wide)
        narrow = project.after_activation(graph, f"{at}.output", active, layer.output, self._lowest_activation())
        residual = graph.node("Sum", [narrow, hidden], f"{at}.output_sum")
        return self._norm(f"{at}.output_norm", residual, layer.output_norm)

    def _activation(self, name: str, wide: str) -> str:
        match self._config.hidden_act:
            case "gelu":
                return self._graph.microsoft_node("Gelu", [wide], name)
            case "gelu_tanh":
                return self._graph.microsoft_node("FastGelu", [wide], name)
            case "relu":
                return self._graph.node("Relu", [wide], name)

    def _lowest_activation(self) -> float:
        # The minimum of x * Phi(x) is -0.16997, at x = -0.7518. The minimum of its tanh approximation is -0.17004.
        return 0.0 if self._config.hidden_act == "relu" else -0.1701

    def _norm(self, name: str, hidden: str, norm: Norm) -> str:
        graph = self._graph
        gain = graph.tensor(f"{name}.gain", norm.gain)
        offset = graph.tensor(f"{name}.offset", norm.offset)
        return graph.node(
            "LayerNormalization", [hidden, gain, offset], name, axis=-1, epsilon=self._config.layer_norm_eps
        )
