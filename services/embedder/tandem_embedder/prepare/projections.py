"""How the encoder multiplies by its weights: in float32, or in int8 with two ways of scaling.

The encoder asks for four things, and each precision answers in its own way:

- ``words``: the word embeddings of the input;
- ``after_norm``: a projection of a LayerNorm's output;
- ``after_attention``: a projection of attention's output; ``before_attention`` prepares it;
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
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import INPUT_IDS, GraphBuilder
from tandem_embedder.prepare.weights import Float, Layer, Linear

SMOOTHING_ALPHA = 0.75
"""How much of the difficulty moves from activations to weights; 0.65 and 0.8 measured a little worse."""
RANGE_MARGIN = 0.05
"""Widening of a calibrated range at either end; what still lies outside saturates."""
SMALLEST_SCALE = 1e-12
LARGEST_STEP = 255
NEGATIVE_STEPS = 24
"""Of an activation's 255 steps, those below zero where it can be negative; 16 and 32 measured about the same."""

Int8 = NDArray[np.int8]


class Projections(Protocol):
    """One precision's way of multiplying; every method adds nodes and returns its output's name."""

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Look ``input_ids`` up in ``table``, ``(vocab, hidden)``; the result is ``(rows, length, hidden)``."""

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Project a LayerNorm's output ``(tokens, in)`` to ``(tokens, out)``, bias added."""

    def before_attention(self, site: str, layer: Layer) -> Linear:
        """Return the layer's query, key and value, as ``after_attention`` at ``site`` wants them."""

    def after_attention(self, graph: GraphBuilder, site: str, context: str, linear: Linear) -> str:
        """Project attention's output ``(tokens, in)`` to ``(tokens, out)``, bias added."""

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

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Multiply in float32, and remember the input for calibration."""
        self.calibration_points[site] = hidden
        return self._multiply(graph, site, hidden, linear)

    def before_attention(self, site: str, layer: Layer) -> Linear:
        """Leave it as it is."""
        return layer.query_key_value

    def after_attention(self, graph: GraphBuilder, site: str, context: str, linear: Linear) -> str:
        """Multiply in float32, and remember the input for calibration."""
        self.calibration_points[site] = context
        return self._multiply(graph, site, context, linear)

    def after_activation(self, graph: GraphBuilder, site: str, active: str, linear: Linear, lowest: float) -> str:
        """Multiply in float32."""
        return self._multiply(graph, site, active, linear)

    def _multiply(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        weight = graph.tensor(f"{site}.weight", linear.weight)
        product = graph.node("MatMul", [hidden, weight], f"{site}.product")
        return graph.node("Add", [product, graph.tensor(f"{site}.bias", linear.bias)], site)


@dataclass(frozen=True)
class ChannelRange:
    """Least and greatest value of each channel over the calibration texts, both ``(channels,) float32``."""

    low: Float
    high: Float


@dataclass(frozen=True)
class FixedScale:
    """What turns activations into uint8: ``x / sigma / scale + zero``."""

    sigma: Float
    """``(channels,) float32``"""
    scale: float
    zero: int


def smooth(channels: ChannelRange, weight: Float, alpha: float = SMOOTHING_ALPHA) -> FixedScale:
    """Return the smoothing and the one scale for inputs in ``channels`` that meet ``weight``, ``(in, out)``.

    ``sigma`` is rounded to three significant bits, so that the last digits of a calibration, which differ
    from one CPU to the next, do not make another int8 model.
    """
    reach = np.maximum(np.maximum(np.abs(channels.low), np.abs(channels.high)), 1e-5).astype(np.float64)
    largest = np.maximum(np.abs(weight).max(axis=1), 1e-5).astype(np.float64)
    sigma = _round_mantissa(reach**alpha / largest ** (1 - alpha), bits=3)
    # Zero has to be inside the range, or it had no place on the scale.
    low = min(0.0, float((channels.low / sigma).min()) * (1 + RANGE_MARGIN))
    high = max(0.0, float((channels.high / sigma).max()) * (1 + RANGE_MARGIN))
    scale = float(_round_mantissa(np.array(max(high - low, 1e-6) / 255), bits=8))
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return FixedScale(sigma.astype(np.float32), scale, zero)


def _round_mantissa(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent)
    return rounded


def quantise_columns(weight: Float) -> tuple[Int8, Float]:
    """Return ``weight`` ``(in, out)`` as symmetric integers of 8 bits, and ``(out,)`` scales."""
    scales = np.maximum(np.abs(weight).max(axis=0) / 127, SMALLEST_SCALE).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales


class Int8Projections:
    """The int8 recipe, described at the top of this module; an object serves one graph.

    Args:
        ranges: site → calibrated range, for every site of ``after_norm`` and ``after_attention``.
    """

    def __init__(self, ranges: dict[str, ChannelRange]) -> None:
        self._ranges = ranges
        self._zeros: dict[int, str] = {}

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather rows of int8 and give each its own scale back."""
        # Rows are quantised like columns elsewhere; the table is half of a small model's bytes.
        rows, scales = quantise_columns(np.ascontiguousarray(table.T))
        row = graph.node("Gather", [graph.tensor("words.table", np.ascontiguousarray(rows.T)), INPUT_IDS], "words.row")
        scale = graph.node("Gather", [graph.tensor("words.scale", scales[:, None]), INPUT_IDS], "words.row_scale")
        return graph.node("Mul", [graph.node("Cast", [row], "words.row_float", to=TensorProto.FLOAT), scale], "words")

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Smooth, quantise by the calibrated scale, multiply in integers."""
        fixed = smooth(self._ranges[site], linear.weight)
        inverse = graph.tensor(f"{site}.inverse_sigma", (1 / fixed.sigma).astype(np.float32))
        smoothed = graph.node("Mul", [hidden, inverse], f"{site}.smoothed")
        return self._multiply_smoothed(graph, site, smoothed, linear, fixed)

    def before_attention(self, site: str, layer: Layer) -> Linear:
        """Smooth the value vectors, and with them what attention makes of them."""
        inverse = 1 / smooth(self._ranges[site], layer.attention_output.weight).sigma
        # Query, key and value lie side by side; only the value's columns are scaled.
        columns = np.concatenate([np.ones(2 * len(inverse), np.float32), inverse.astype(np.float32)])
        packed = layer.query_key_value
        return replace(packed, weight=packed.weight * columns, bias=packed.bias * columns)

    def after_attention(self, graph: GraphBuilder, site: str, context: str, linear: Linear) -> str:
        """Quantise by the calibrated scale what ``before_attention`` smoothed, multiply in integers."""
        return self._multiply_smoothed(graph, site, context, linear, smooth(self._ranges[site], linear.weight))

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

    def _multiply_smoothed(
        self, graph: GraphBuilder, site: str, smoothed: str, linear: Linear, fixed: FixedScale
    ) -> str:
        scale = graph.scalar(fixed.scale)
        zero = graph.tensor(f"{site}.zero", np.array(fixed.zero, np.uint8))
        quantised = graph.node("QuantizeLinear", [smoothed, scale, zero], f"{site}.quantised")
        weight = linear.weight * fixed.sigma[:, None]
        return self._multiply(graph, site, quantised, weight, scale, zero, bias=linear.bias)

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
        integers, scales = quantise_columns(weight)
        inputs = [
            quantised,
            graph.tensor(f"{name}.weight", integers),
            scale,
            graph.tensor(f"{name}.weight_scale", scales),
            zero,
        ]
        if bias is not None:
            inputs += ["", graph.tensor(f"{name}.bias", bias)]
        return graph.microsoft_node("MatMulIntegerToFloat", inputs, name)
