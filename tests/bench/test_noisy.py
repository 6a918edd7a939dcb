"""The caller that sends as much as it can."""

import pytest

from gateway_bench.noisy import pause_after


@pytest.mark.parametrize(
    ("status", "retry_after", "patient", "seconds"),
    [
        (429, "7", True, 7.0),
        (503, "1", True, 1.0),
        (429, "7", False, 0.0),
        (200, "7", True, 0.0),
        (429, None, True, 0.0),
        (429, "Sat, 28 Nov 2026 06:00:00 GMT", True, 0.0),
    ],
)
def test_a_patient_caller_waits_as_a_refusal_says(status: int, retry_after: str | None, patient: bool, seconds: float):
    assert pause_after(status, retry_after, patient=patient) == seconds
