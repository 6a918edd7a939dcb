"""The arithmetic of quantisation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tandem_embedder.prepare.quantisation import ChannelRange, quantise_columns, smooth

weights = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(-4, 4, width=32))


@given(weights)
def test_a_quantised_weight_is_within_half_a_step(weight) -> None:
    integers, scales = quantise_columns(weight)
    assert integers.dtype == np.int8
    assert np.abs(integers.astype(int)).max() <= 127
    assert (np.abs(integers * scales - weight) <= scales * 0.5001 + 1e-12).all()


@given(weights, st.data())
def test_a_calibrated_range_fits_its_scale(weight, data) -> None:
    channels = weight.shape[0]
    bounds = hnp.arrays(np.float32, channels, elements=st.floats(-50, 50, width=32))
    first, second = data.draw(bounds), data.draw(bounds)
    low, high = np.minimum(first, second), np.maximum(first, second)
    fixed = smooth(ChannelRange(low, high), weight)
    assert 0 <= fixed.zero <= 255
    assert fixed.scale > 0
    assert (fixed.sigma > 0).all()
    for bound in (low, high):
        step = np.rint(bound / fixed.sigma / fixed.scale) + fixed.zero
        assert step.min() >= -1
        assert step.max() <= 256


def test_smoothing_does_not_depend_on_the_last_digits() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 32)).astype(np.float32)
    low, high = -rng.random(64).astype(np.float32) * 10, rng.random(64).astype(np.float32) * 10
    exact = smooth(ChannelRange(low, high), weight)
    noisy = smooth(ChannelRange(low * np.float32(1 + 2e-7), high * np.float32(1 - 2e-7)), weight)
    np.testing.assert_array_equal(exact.sigma, noisy.sigma)
    assert (exact.scale, exact.zero) == (noisy.scale, noisy.zero)


def test_smoothing_evens_out_a_wide_channel() -> None:
    weight = np.ones((3, 2), np.float32)
    fixed = smooth(ChannelRange(np.array([-1, -1, -50], np.float32), np.array([1, 1, 50], np.float32)), weight)
    assert 50 / fixed.sigma[2] < 6 * (1 / fixed.sigma[0])
