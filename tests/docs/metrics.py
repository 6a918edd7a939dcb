"""Writes docs/metrics.md from the code: ``python -m tests.docs.metrics``."""

from prometheus_client.parser import text_string_to_metric_families

import tandem_embedder.metrics
import tandem_gateway.metrics
from tests.docs.readme import REPOSITORY

METRICS = REPOSITORY / "docs" / "metrics.md"

_HEAD = """# Metrics

Both services serve `/metrics` in Prometheus' text format; that of the gateway costs one short query of the store.
Counters end in `_total`; a histogram has `_bucket`, `_sum` and `_count`. Beside these each service has Prometheus' own
`process_*`: CPU seconds, resident memory, open files, start time.

This page is made from the code by `python -m tests.docs.metrics`, and a test compares the two.
"""


def table(exposition: bytes) -> str:
    """Return the metrics of an exposition as a Markdown table, by name."""
    lines = ["| metric | type | what it says |", "| --- | --- | --- |"]
    for family in sorted(text_string_to_metric_families(exposition.decode()), key=lambda family: family.name):
        if not family.name.startswith("process_"):
            ending = "_total" if family.type == "counter" else ""
            lines.append(f"| `{family.name}{ending}` | {family.type} | {family.documentation} |")
    return "\n".join(lines)


def page() -> str:
    """Return the page."""
    gateway = tandem_gateway.metrics.Metrics("0").exposition()
    embedder = tandem_embedder.metrics.Metrics().exposition(True, {"interactive": 0, "bulk": 0})
    return f"{_HEAD}\n## Gateway\n\n{table(gateway)}\n\n## Embedder\n\n{table(embedder)}\n"


if __name__ == "__main__":
    METRICS.write_text(page())
