"""The encoder's multiplications by its weights: in float32, or in int8 with two kinds of scale.

The encoder needs five operations, and each precision implements them:

- ``words``: the word embeddings of the input;
- ``attention``: the query, key and value projections of a LayerNorm's output, and attention over them;
- ``after_attention``: a projection of attention's output;
- ``after_norm``: another projection of a LayerNorm's output;
- ``after_activation``: a projection of the activation's output, whose range varies strongly between tokens.

In int8, activations are uint8 and weights are int8, the combination with fast kernels in onnxruntime:

- *After a LayerNorm and after attention*, calibration gives the range of each channel. A few channels are many times
  wider than the rest. They are smoothed as in SmoothQuant (Xiao et al. 2023, arXiv 2211.10438):
  ``x @ W = (x / sigma) @ (sigma * W)`` with ``sigma = range ** alpha / max|W| ** (1 - alpha)`` for each channel.
  One fixed scale then fits all channels. After a LayerNorm the division is a separate step, because the residual keeps
  the original values. Attention's output is a weighted mean of value vectors, so the division is folded into the value
  weights.
- *After the activation*, every token has its own scale, computed at run time. GELU's output is rarely negative, and
  then only slightly. So nearly all steps are on the positive side, which halves the error of a symmetric scale.

No scale depends on the other tokens of a batch, so a text has the same vector in every batch. ``quantize_dynamic``
cannot guarantee that, because it uses one scale for a whole batch.

Attention itself runs in float32. onnxruntime's QAttention writes each head's query, key and value in the layout that
attention reads, which saves the passes that split and transpose them. Its mask costs a twentieth of a long text's run,
and only a batch with padding needs a mask. The graph therefore has two QAttention nodes per layer, with and without a
mask, and runs one of them for each batch. Both sum in the same order, so the vectors are the same.
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
"""Number of the 255 steps below zero, for activations that can be negative. 16 and 32 measured about the same."""


@dataclass(frozen=True)
class Texts:
    """Input of attention: names of tensors that describe the batch, and the number of heads."""

    shape: str
    """``(3,) int64``: rows, length, -1; attention reshapes the tokens to it."""
    mask: str
    """``(rows, length) int32``; 0 marks padding."""
    heads: int


class Projections(Protocol):
    """Multiplications in one precision. Every method adds nodes and returns the name of its output.

    ``at`` is the name of a layer, ``site`` the name of one projection.
    """

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Look up ``input_ids`` in ``table``, ``(vocab, hidden)``; the result is ``(rows, length, hidden)``."""

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Apply attention to a LayerNorm's output ``(tokens, hidden)``; the result is ``(rows, length, hidden)``."""

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Project attention's output ``(tokens, in)`` to ``(tokens, out)``, with bias."""

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Project a LayerNorm's output ``(tokens, in)`` to ``(tokens, out)``, with bias."""

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Project an activation's output ``(tokens, in)`` to ``(tokens, out)``, with bias.

        ``lowest`` is a lower bound of the activation's output, at most 0.
        """


class Float32Projections:
    """The fp32 reference. Records the inputs of the projections that have fixed scales in int8, for calibration."""

    def __init__(self) -> None:
        self.calibration_points: dict[str, str] = {}
        """Site → name of the tensor whose channels need calibration."""

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather float32 rows."""
        return graph.node("Gather", [graph.tensor("words.table", table), INPUT_IDS], "words")

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Multiply in float32, and record the input for calibration."""
        packed = self.after_norm(graph, _projected(at), hidden, layer.query_key_value)
        packed = graph.node("Reshape", [packed, texts.shape], f"{at}.qkv.of_texts")
        graph.node("Split", [packed], f"{at}.query", outputs=3, axis=-1)
        inputs = [f"{at}.query", f"{at}.query.1", f"{at}.query.2", "", texts.mask]
        return graph.microsoft_node("MultiHeadAttention", inputs, f"{at}.context", num_heads=texts.heads)

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Multiply in float32, and record the input for calibration."""
        return self.after_norm(graph, _attended(at), context, linear)

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Multiply in float32, and record the input for calibration."""
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
    """Return the site of a layer's query, key and value projections."""
    return f"{at}.qkv"


def _attended(at: str) -> str:
    """Return the site of the projection of a layer's attention output."""
    return f"{at}.attention_output"


class Int8Projections:
    """The int8 recipe, as described at the top of this module. Use one object per graph.

    Args:
        ranges: site → calibrated range, for every calibration point of the float32 graph.
    """

    def __init__(self, ranges: dict[str, ChannelRange]) -> None:
        self._ranges = ranges
        self._zeros: dict[int, str] = {}
        self._unpadded: str | None = None

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather int8 rows and multiply each row by its own scale."""
        # Quantise rows, like columns elsewhere: the table is half of a small model's bytes.
        rows, scales = quantise_columns(np.ascontiguousarray(table.T))
        row = graph.node("Gather", [graph.tensor("words.table", np.ascontiguousarray(rows.T)), INPUT_IDS], "words.row")
        scale = graph.node("Gather", [graph.tensor("words.scale", scales[:, None]), INPUT_IDS], "words.row_scale")
        return graph.node("Mul", [graph.node("Cast", [row], "words.row_float", to=TensorProto.FLOAT), scale], "words")

    def attention(self, graph: GraphBuilder, at: str, hidden: str, layer: Layer, texts: Texts) -> str:
        """Smooth, quantise with the calibrated scale, multiply in integers. The value vectors come out smoothed."""
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
        """Return the query, key and value projections, changed so that attention's output is smoothed."""
        inverse = 1 / smooth(self._ranges[_attended(at)], layer.attention_output.weight).sigma
        # Query, key and value are side by side; scale only the value's columns.
        columns = np.concatenate([np.ones(2 * len(inverse), np.float32), inverse.astype(np.float32)])
        packed = layer.query_key_value
        return replace(packed, weight=packed.weight * columns, bias=packed.bias * columns)

    def _is_unpadded(self, graph: GraphBuilder, texts: Texts) -> str:
        if self._unpadded is None:
            least = graph.node("ReduceMin", [texts.mask], "padding_mask.least", keepdims=0)
            self._unpadded = graph.node("Cast", [least], "unpadded", to=TensorProto.BOOL)
        return self._unpadded

    def after_attention(self, graph: GraphBuilder, at: str, context: str, linear: Linear) -> str:
        """Quantise with the calibrated scale and multiply in integers. ``attention`` has already smoothed the input."""
        site = _attended(at)
        return self._multiply_smoothed(graph, site, context, linear, smooth(self._ranges[site], linear.weight))

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Smooth, quantise with the calibrated scale, multiply in integers."""
        fixed = smooth(self._ranges[site], linear.weight)
        return self._multiply_smoothed(graph, site, self._smooth(graph, site, hidden, fixed), linear, fixed)

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Quantise with a scale from each token's largest value, multiply in integers, scale back."""
        zero_step = NEGATIVE_STEPS if lowest < 0 else 0
        largest = graph.node("ReduceMax", [active], f"{site}.largest", axes=[-1], keepdims=1)
        step = graph.node("Mul", [largest, graph.scalar(1 / (LARGEST_STEP - zero_step))], f"{site}.step")
        # The scale must still cover ``lowest`` if all values of a token are small.
        smallest = max(SMALLEST_SCALE, -lowest / zero_step if zero_step else 0.0)
        step = graph.node("Max", [step, graph.scalar(smallest)], f"{site}.token_scale")
        # QuantizeLinear takes one scale per row along axis 0. That saves a pass over the values for the division.
        scales = graph.node("Squeeze", [step, graph.integers(-1)], f"{site}.token_scales")
        zeros = self._zero_points(graph, active, zero_step)
        quantised = graph.node("QuantizeLinear", [active, scales, zeros], f"{site}.quantised", axis=0)
        zero = graph.tensor(f"activation.zero:{zero_step}", np.array(zero_step, np.uint8))
        product = self._multiply(graph, f"{site}.product", quantised, linear.weight, graph.scalar(1.0), zero)
        scaled = graph.node("Mul", [product, step], f"{site}.scaled")
        return graph.node("Add", [scaled, graph.tensor(f"{site}.bias", linear.bias)], site)

    def _zero_points(self, graph: GraphBuilder, like: str, value: int) -> str:
        """Return a vector with ``value`` for each row of ``like``. All layers share one vector per value."""
        if value not in self._zeros:
            tokens = graph.node("Shape", [like], f"activation.tokens:{value}", start=0, end=1)
            filled = onnx.numpy_helper.from_array(np.array([value], np.uint8))
            self._zeros[value] = graph.node("ConstantOfShape", [tokens], f"activation.zeros:{value}", value=filled)
        return self._zeros[value]

    def _smooth(self, graph: GraphBuilder, site: str, hidden: str, fixed: FixedScale) -> str:
        inverse = graph.tensor(f"{site}.inverse_sigma", (1 / fixed.sigma).astype(np.float32))
        return graph.node("Mul", [hidden, inverse], f"{site}.smoothed")

    def _quantise(self, graph: GraphBuilder, site: str, smoothed: str, fixed: FixedScale) -> tuple[str, str, str]:
        """Return the names of the quantised tensor, its scale and its zero point."""
        scale, zero = graph.scalar(fixed.scale), graph.tensor(f"{site}.zero", np.array(fixed.zero, np.uint8))
        return graph.node("QuantizeLinear", [smoothed, scale, zero], f"{site}.quantised"), scale, zero

    def _multiply_smoothed(
        self, graph: GraphBuilder, site: str, smoothed: str, linear: Linear, fixed: FixedScale
    ) -> str:
        quantised, scale, zero = self._quantise(graph, site, smoothed, fixed)
        weight = linear.weight * fixed.sigma[:, None]
        return self._multiply(graph, site, quantised, weight, scale, zero, bias=linear.bias)

    def _integers(self, graph: GraphBuilder, name: str, weight: Float) -> tuple[str, str]:
        """Return the names of the quantised ``weight`` and of its column scales."""
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
