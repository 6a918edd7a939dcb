"""How the encoder multiplies by its weights: in float32, or in int8 with two ways of scaling.

The encoder asks for five things, and each precision answers in its own way:

- ``words``: the word embeddings of the input;
- ``attention``: query, key and value of a LayerNorm's output, and attention over them;
- ``after_attention``: a projection of attention's output;
- ``after_norm``: another projection of a LayerNorm's output;
- ``after_activation``: a projection of the activation's output, whose range differs much from token to token.

int8, activations uint8 and weights int8 (the pairing for which onnxruntime has its fast kernels):

- *After a LayerNorm and after attention* the range of each channel is known from calibration, and a few channels are
  many times wider than the rest. They are smoothed as in SmoothQuant (Xiao et al. 2023, arXiv 2211.10438):
  ``x @ W = (x / sigma) @ (sigma * W)`` with ``sigma = range ** alpha / max|W| ** (1 - alpha)`` for each channel.
  One fixed scale then fits them all. After a LayerNorm the division is a step of its own, since the residual keeps
  its values; attention's output is a weighted mean of value vectors, so there it goes into the weights of the values.
- *After the activation* every token has its own scale, computed as it comes. GELU's output is hardly ever negative
  and never by much: nearly all of the steps are on the positive side, which halves the error of a symmetric scale.

None looks at the other tokens of a batch, so a text has the same vector in any company. That is what
``quantize_dynamic``, with one scale for a whole batch, cannot give.

Attention itself is in float32. onnxruntime's QAttention computes query, key and value, each head's where attention
wants it, and spares the passes that split and transpose them. Its mask takes a twentieth of a long text's run, though,
and only a batch with padding needs one: hence two of them, of which each batch takes one. Their sums have the same
order, so the vectors are the same.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import onnx
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import INPUT_IDS, GraphBuilder
from tandem_embedder.prepare.quantisation import SMALLEST_SCALE, ChannelRange, FixedScale, quantise_columns, smooth
from tandem_embedder.prepare.weights import Float, Layer, Linear

LARGEST_STEP = 255
NEGATIVE_STEPS = 24
"""Of an activation's 255 steps, those below zero where it can be negative; 16 and 32 measured about the same."""


@dataclass(frozen=True)
class Texts:
    """What attention needs to know of a batch, as names of tensors, and its number of heads."""

    shape: str
    """``(3,) int64``: rows, length, -1; under it attention sees the tokens."""
    mask: str
    """``(rows, length) int32``, 0 where a row is padded."""
    heads: int


class Projections(Protocol):
    """One precision's way of multiplying; every method adds nodes and returns its output's name.

    ``at`` is the name of a layer, ``site`` that of one projection.
    """

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Look ``input_ids`` up in ``table``, ``(vocab, hidden)``; the result is ``(rows, length, hidden)``."""

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Attend to a LayerNorm's output ``(tokens, hidden)``; the result is ``(rows, length, hidden)``."""

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Project attention's output ``(tokens, in)`` to ``(tokens, out)``, bias added."""

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Project a LayerNorm's output ``(tokens, in)`` to ``(tokens, out)``, bias added."""

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Project an activation's output ``(tokens, in)``, nowhere under ``lowest``, to ``(tokens, out)``, bias added.

        ``lowest`` is 0 or less.
        """


class Float32Projections:
    """The reference; remembers what goes into projections with fixed scales, so that it can be calibrated."""

    def __init__(self) -> None:
        self.calibration_points: dict[str, str] = {}
        """Site → name of the tensor whose channels are to be calibrated."""

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather rows of float32."""
        return graph.node("Gather", [graph.tensor("words.table", table), INPUT_IDS], "words")

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Multiply in float32, and remember the input for calibration."""
        packed = self.after_norm(graph, _projected(at), hidden, layer.query_key_value)
        packed = graph.node("Reshape", [packed, texts.shape], f"{at}.qkv.of_texts")
        graph.node("Split", [packed], f"{at}.query", outputs=3, axis=-1)
        inputs = [f"{at}.query", f"{at}.query.1", f"{at}.query.2", "", texts.mask]
        return graph.microsoft_node("MultiHeadAttention", inputs, f"{at}.context", num_heads=texts.heads)

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Multiply in float32, and remember the input for calibration."""
        return self.after_norm(graph, _attended(at), context, linear)

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Multiply in float32, and remember the input for calibration."""
        self.calibration_points[site] = hidden
        return self._multiply(graph, site, hidden, linear)

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Multiply in float32."""
        return self._multiply(graph, site, active, linear)

    def _multiply(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        weight = graph.tensor(f"{site}.weight", linear.weight)
        product = graph.node("MatMul", [hidden, weight], f"{site}.product")
        return graph.node("Add", [product, graph.tensor(f"{site}.bias", linear.bias)], site)


def _projected(at: str) -> str:
    """Return the site of a layer's query, key and value."""
    return f"{at}.qkv"


def _attended(at: str) -> str:
    """Return the site of what a layer's attention gives."""
    return f"{at}.attention_output"


class Int8Projections:
    """The int8 recipe, described at the top of this module; an object serves one graph.

    Args:
        ranges: site → calibrated range, for every calibration point of the float32 graph.
    """

    def __init__(self, ranges: dict[str, ChannelRange]) -> None:
        self._ranges = ranges
        self._zeros: dict[int, str] = {}
        self._unpadded: str | None = None

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather rows of int8 and give each its own scale back."""
        # Rows are quantised like columns elsewhere; the table is half of a small model's bytes.
        rows, scales = quantise_columns(np.ascontiguousarray(table.T))
        row = graph.node("Gather", [graph.tensor("words.table", np.ascontiguousarray(rows.T)), INPUT_IDS], "words.row")
        scale = graph.node("Gather", [graph.tensor("words.scale", scales[:, None]), INPUT_IDS], "words.row_scale")
        return graph.node("Mul", [graph.node("Cast", [row], "words.row_float", to=TensorProto.FLOAT), scale], "words")

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Smooth, quantise by the calibrated scale, multiply in integers; the value vectors come out smoothed."""
        site, linear = _projected(at), self._smooth_values(at, layer)
        fixed = smooth(self._ranges[site], linear.weight)
        quantised, scale, zero = self._quantise(graph, site, self._smooth(graph, site, hidden, fixed), fixed)
        of_texts = graph.node("Reshape", [quantised, texts.shape], f"{site}.of_texts")
        weight, weight_scale = self._integers(graph, site, linear.weight * fixed.sigma[:, None])
        bias = graph.tensor(f"{site}.bias", linear.bias)

        def attend(branch: GraphBuilder, unpadded: bool) -> str:
            inputs = [of_texts, weight, bias, scale, weight_scale, "" if unpadded else texts.mask, zero]
            return branch.microsoft_node("QAttention", inputs, "context", num_heads=texts.heads)

        return graph.either(self._is_unpadded(graph, texts), f"{at}.context", attend)

    def _smooth_values(self, at: str, layer: Layer) -> Linear:
        """Return query, key and value such that what attention makes of the values is smooth."""
        inverse = 1 / smooth(self._ranges[_attended(at)], layer.attention_output.weight).sigma
        # Query, key and value lie side by side; only the value's columns are scaled.
        columns = np.concatenate([np.ones(2 * len(inverse), np.float32), inverse.astype(np.float32)])
        packed = layer.query_key_value
        return replace(packed, weight=packed.weight * columns, bias=packed.bias * columns)

    def _is_unpadded(self, graph: GraphBuilder, texts: Texts) -> str:
        if self._unpadded is None:
            least = graph.node("ReduceMin", [texts.mask], "padding_mask.least", keepdims=0)
            self._unpadded = graph.node("Cast", [least], "unpadded", to=TensorProto.BOOL)
        return self._unpadded

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Quantise by the calibrated scale what ``attention`` smoothed, multiply in integers."""
        site = _attended(at)
        return self._multiply_smoothed(graph, site, context, linear, smooth(self._ranges[site], linear.weight))

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Smooth, quantise by the calibrated scale, multiply in integers."""
        fixed = smooth(self._ranges[site], linear.weight)
        return self._multiply_smoothed(graph, site, self._smooth(graph, site, hidden, fixed), linear, fixed)

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Quantise by the largest value of each token, multiply in integers, scale back."""
        zero_step = NEGATIVE_STEPS if lowest < 0 else 0
        largest = graph.node("ReduceMax", [active], f"{site}.largest", axes=[-1], keepdims=1)
        step = graph.node("Mul", [largest, graph.scalar(1 / (LARGEST_STEP - zero_step))], f"{site}.step")
        # A token whose values are all small still needs its lowest on the scale.
        smallest = max(SMALLEST_SCALE, -lowest / zero_step if zero_step else 0.0)
        step = graph.node("Max", [step, graph.scalar(smallest)], f"{site}.token_scale")
        # One scale a row is QuantizeLinear's scale along axis 0: it spares a pass over the values, for their division.
        scales = graph.node("Squeeze", [step, graph.integers(-1)], f"{site}.token_scales")
        zeros = self._zero_points(graph, active, zero_step)
        quantised = graph.node("QuantizeLinear", [active, scales, zeros], f"{site}.quantised", axis=0)
        zero = graph.tensor(f"activation.zero:{zero_step}", np.array(zero_step, np.uint8))
        product = self._multiply(graph, f"{site}.product", quantised, linear.weight, graph.scalar(1.0), zero)
        scaled = graph.node("Mul", [product, step], f"{site}.scaled")
        return graph.node("Add", [scaled, graph.tensor(f"{site}.bias", linear.bias)], site)

    def _zero_points(self, graph: GraphBuilder, like: str, value: int) -> str:
        """Return a vector with ``value`` for each row of ``like``; the same one in all layers."""
        if value not in self._zeros:
            tokens = graph.node("Shape", [like], f"activation.tokens:{value}", start=0, end=1)
            filled = onnx.numpy_helper.from_array(np.array([value], np.uint8))
            self._zeros[value] = graph.node("ConstantOfShape", [tokens], f"activation.zeros:{value}", value=filled)
        return self._zeros[value]

    def _smooth(self, graph: GraphBuilder, site: str, hidden: str, fixed: FixedScale) -> str:
        inverse = graph.tensor(f"{site}.inverse_sigma", (1 / fixed.sigma).astype(np.float32))
        return graph.node("Mul", [hidden, inverse], f"{site}.smoothed")

    def _quantise(self, graph: GraphBuilder, site: str, smoothed: str, fixed: FixedScale) -> tuple[str, str, str]:
        """Return the names of the integers, and of the scale and the zero that give them their meaning."""
        scale, zero = graph.scalar(fixed.scale), graph.tensor(f"{site}.zero", np.array(fixed.zero, np.uint8))
        return graph.node("QuantizeLinear", [smoothed, scale, zero], f"{site}.quantised"), scale, zero

    def _multiply_smoothed(
        self, graph: GraphBuilder, site: str, smoothed: str, linear: Linear, fixed: FixedScale
    ) -> str:
        quantised, scale, zero = self._quantise(graph, site, smoothed, fixed)
        weight = linear.weight * fixed.sigma[:, None]
        return self._multiply(graph, site, quantised, weight, scale, zero, bias=linear.bias)

    def _integers(self, graph: GraphBuilder, name: str, weight: Float) -> tuple[str, str]:
        """Return the names of ``weight`` in integers, and of its columns' scales."""
        integers, scales = quantise_columns(weight)
        return graph.tensor(f"{name}.weight", integers), graph.tensor(f"{name}.weight_scale", scales)

    def _multiply(
        self,
        graph: GraphBuilder,
        name: str,
        quantised: str,
        weight: Float,
        scale: str,
        zero: str,
        *,
        bias: Float | None = None,
    ) -> str:
        integers, weight_scale = self._integers(graph, name, weight)
        inputs = [quantised, integers, scale, weight_scale, zero]
        if bias is not None:
            inputs += ["", graph.tensor(f"{name}.bias", bias)]
        return graph.microsoft_node("MatMulIntegerToFloat", inputs, name)
