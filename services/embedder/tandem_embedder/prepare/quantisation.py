"""int8 arithmetic: ranges of an activation's channels, their smoothing and scale, and quantised weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tandem_embedder.prepare.weights import Float

SMOOTHING_ALPHA = 0.75
"""Share of the quantisation difficulty that moves from activations to weights. 0.65 and 0.8 measured slightly worse."""
RANGE_MARGIN = 0.05
"""Fraction by which each end of a calibrated range is widened. Values that are still outside saturate."""
SMALLEST_SCALE = 1e-12

Int8 = NDArray[np.int8]


@dataclass(frozen=True)
class ChannelRange:
    """Minimum and maximum of each channel over the calibration texts, both ``(channels,) float32``."""

    low: Float
    high: Float


@dataclass(frozen=True)
class FixedScale:
    """Parameters that quantise activations to uint8: ``x / sigma / scale + zero``."""

    sigma: Float
    """``(channels,) float32``"""
    scale: float
    zero: int


def smooth(channels: ChannelRange, weight: Float, alpha: float = SMOOTHING_ALPHA) -> FixedScale:
    """Return the smoothing and the single scale for inputs with ranges ``channels``, multiplied by ``weight``.

    ``weight`` is ``(in, out)``. ``sigma`` is rounded to three significant bits. The last digits of a calibration differ
    from CPU to CPU, and without rounding they would change the int8 model.
    """
    reach = np.maximum(np.maximum(np.abs(channels.low), np.abs(channels.high)), 1e-5).astype(np.float64)
    largest = np.maximum(np.abs(weight).max(axis=1), 1e-5).astype(np.float64)
    sigma = _round_mantissa(reach**alpha / largest ** (1 - alpha), bits=3)
    # The range must include zero, or the scale could not represent it.
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
    """Return ``weight`` ``(in, out)`` as symmetric 8-bit integers, and one scale per column, ``(out,) float32``."""
    scales = np.maximum(np.abs(weight).max(axis=0) / 127, SMALLEST_SCALE).astype(np.float32)
    return np.rint(weight / scales).astype(np.int8), scales
