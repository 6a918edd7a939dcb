"""How the encoder multiplies by its weights: in float32, or in int8 with two ways of scaling.

The encoder asks for three things, and each precision answers in its own way:

- ``words``: the word embeddings of the input;
- ``after_norm``: a projection of a LayerNorm's output;
- ``per_token``: a projection of anything else, whose range differs much from token to token.

int8, activations uint8 and weights int8 (the pairing for which onnxruntime has its fast kernels):

- *After a LayerNorm* the range of each channel is known from calibration, and a few channels are many times
  wider than the rest. They are smoothed as in SmoothQuant (Xiao et al. 2023, arXiv 2211.10438):
  ``x @ W = (x / sigma) @ (sigma * W)`` with ``sigma = range ** alpha / max|W| ** (1 - alpha)`` for each channel.
  One fixed scale then fits them all. Only this branch is smoothed, the residual keeps its values.
- *Elsewhere* every token has its own scale, computed as it comes.

Neither looks at the other tokens of a batch, so a text has the same vector in any company. That is what
``quantize_dynamic``, with one scale for a whole batch, cannot give.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tandem_embedder.prepare.graph_builder import INPUT_IDS, GraphBuilder
from tandem_embedder.prepare.weights import Float, Linear

SMOOTHING_ALPHA = 0.65
"""How much of the difficulty moves from activations to weights; 0.5 and 0.8 measured a little worse."""
RANGE_MARGIN = 0.05
"""Widening of a calibrated range at either end; what still lies outside saturates."""
SMALLEST_SCALE = 1e-12
ACTIVATION_ZERO = 128
ACTIVATION_STEPS = 127
"""Steps to either side of ``ACTIVATION_ZERO``: a token's scale is its largest magnitude over this."""

Int8 = NDArray[np.int8]


class Projections(Protocol):
    """One precision's way of multiplying; every method adds nodes and returns its output's name."""

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Look ``input_ids`` up in ``table``, ``(vocab, hidden)``; the result is ``(rows, length, hidden)``."""

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Project a LayerNorm's output ``(rows, length, in)`` to ``(rows, length, out)``, bias added."""

    def per_token(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Project any ``(rows, length, in)`` to ``(rows, length, out)``, bias added."""


class Float32Projections:
    """The reference; remembers what goes into ``after_norm``, so that it can be calibrated."""

    def __init__(self) -> None:
        self.calibration_points: dict[str, str] = {}
        """Site → name of the tensor whose channels are to be calibrated."""

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather rows of float32."""
        return graph.node("Gather", [graph.tensor("words.table", table), INPUT_IDS], "words")

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Multiply in float32, and remember the input for calibration."""
        self.calibration_points[site] = hidden
        return self.per_token(graph, site, hidden, linear)

    def per_token(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Multiply in float32."""
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
    """What turns a LayerNorm's output into uint8: ``x / sigma / scale + zero``."""

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


def quantise_columns(weight: Float, bits: int) -> tuple[Int8, Float]:
    """Return ``weight`` ``(in, out)`` as symmetric integers of ``bits`` bits, and ``(out,)`` scales."""
    steps = 2 ** (bits - 1) - 1
    scales = np.maximum(np.abs(weight).max(axis=0) / steps, SMALLEST_SCALE).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales


class Int8Projections:
    """The int8 recipe, described at the top of this module.

    Args:
        ranges: site → calibrated range, for every site of ``after_norm``.
        weight_bits: 8, or 7 where a CPU's uint8 x int8 kernel saturates its 16-bit sums (AVX2 without VNNI).
    """

    def __init__(self, ranges: dict[str, ChannelRange], weight_bits: int = 8) -> None:
        self._ranges = ranges
        self._weight_bits = weight_bits

    def words(self, graph: GraphBuilder, table: Float) -> str:
        """Gather rows of int8 and give each its own scale back."""
        # Rows are quantised like columns elsewhere; the table is half of a small model's bytes.
        rows, scales = quantise_columns(np.ascontiguousarray(table.T), 8)
        row = graph.node("Gather", [graph.tensor("words.table", np.ascontiguousarray(rows.T)), INPUT_IDS], "words.row")
        scale = graph.node("Gather", [graph.tensor("words.scale", scales[:, None]), INPUT_IDS], "words.row_scale")
        return graph.node("Mul", [graph.node("Cast", [row], "words.row_float", to=TensorProto.FLOAT), scale], "words")

    def after_norm(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Smooth, quantise by the calibrated scale, multiply in integers."""
        fixed = smooth(self._ranges[site], linear.weight)
        inverse = graph.tensor(f"{site}.inverse_sigma", (1 / fixed.sigma).astype(np.float32))
        smoothed = graph.node("Mul", [hidden, inverse], f"{site}.smoothed")
        scale = graph.scalar(fixed.scale)
        zero = graph.tensor(f"{site}.zero", np.array(fixed.zero, np.uint8))
        quantised = graph.node("QuantizeLinear", [smoothed, scale, zero], f"{site}.quantised")
        weight = linear.weight * fixed.sigma[:, None]
        return self._multiply(graph, site, quantised, weight, scale, zero, bias=linear.bias)

    def per_token(self, graph: GraphBuilder, site: str, hidden: str, linear: Linear) -> str:
        """Quantise by the largest magnitude of each token, multiply in integers, scale back."""
        magnitude = graph.node("Abs", [hidden], f"{site}.magnitude")
        largest = graph.node("ReduceMax", [magnitude], f"{site}.largest", axes=[-1], keepdims=1)
        step = graph.node("Mul", [largest, graph.scalar(1 / ACTIVATION_STEPS)], f"{site}.step")
        step = graph.node("Max", [step, graph.scalar(SMALLEST_SCALE)], f"{site}.token_scale")
        steps = graph.node("Div", [hidden, step], f"{site}.steps")
        one = graph.scalar(1.0)
        zero = graph.tensor("activation.zero", np.array(ACTIVATION_ZERO, np.uint8))
        quantised = graph.node("QuantizeLinear", [steps, one, zero], f"{site}.quantised")
        product = self._multiply(graph, f"{site}.product", quantised, linear.weight, one, zero)
        scaled = graph.node("Mul", [product, step], f"{site}.scaled")
        return graph.node("Add", [scaled, graph.tensor(f"{site}.bias", linear.bias)], site)

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
        integers, scales = quantise_columns(weight, self._weight_bits)
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
