"""docs/metrics.md names exactly the existing metrics."""

from tests.docs.metrics import METRICS, page


def test_the_page_of_metrics_is_that_of_the_code() -> None:
    assert METRICS.read_text() == page(), "run: python -m tests.docs.metrics"
