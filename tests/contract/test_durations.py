"""Durations in messages: milliseconds below a second, without an exponent."""

import pytest

from tandem_runtime.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.0027, "0 ms"),
        (0.0, "0 ms"),
        (0.00000001, "0 ms"),
        (0.0008, "0.8 ms"),
        (0.00123456, "1.2 ms"),
        (0.002, "2 ms"),
        (0.06, "60 ms"),
        (0.1234, "123 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.0, "1 s"),
        (2.345, "2.35 s"),
        (30.0, "30 s"),
        (600.0, "600 s"),
    ],
)
def test_a_duration_is_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
