"""Properties that the passages of every text have."""

from collections.abc import Sequence

from tandem_embedder.ports import Span


def assert_covers(text: str, spans: Sequence[Span]) -> None:
    """Starts and ends grow strictly; outside the passages is only white space."""
    before = Span(-1, 0)
    for span in spans:
        assert before.start < span.start < span.end <= len(text)
        assert before.end < span.end
        assert not text[before.end : span.start].strip()
        before = span
    assert not text[before.end :].strip()
