"""Writes docs/metrics.md from the code: ``python -m tests.docs.metrics``."""

from tests.deploy.metrics import families
from tests.docs.pages import DOCS

METRICS = DOCS / "metrics.md"

_HEAD = """# Metrics

Both services serve `/metrics` in Prometheus' text format. A scrape of the gateway costs one short query of the store.
Counters end in `_total`. A histogram has `_bucket`, `_sum` and `_count`; a summary has the last two. Each service also
has Prometheus' own `process_*`: CPU seconds, resident memory, open files, start time. A renamed metric keeps its former
name beside the new one for one release.

This page is made from the code by `python -m tests.docs.metrics`, and a test compares the two.
"""


def table(service: str) -> str:
    """Return a service's metrics as a Markdown table, by name."""
    lines = ["| metric | type | labels | what it says |", "| --- | --- | --- | --- |"]
    for family in sorted(families(service), key=lambda family: family.name):
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.text} |")
    return "\n".join(lines)


def page() -> str:
    """Return the page."""
    return f"{_HEAD}\n## Gateway\n\n{table('gateway')}\n\n## Embedder\n\n{table('embedder')}\n"


if __name__ == "__main__":
    METRICS.write_text(page())
