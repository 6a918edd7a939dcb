"""Reads Prometheus' text format, as far as ``tandem status`` needs it."""

import re
from collections.abc import Mapping

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')

Samples = dict[str, list[tuple[Mapping[str, str], float]]]
"""Name → labels and value of each sample."""


def samples(text: str) -> Samples:
    """Return the samples of an exposition; lines that are none are left out."""
    found: Samples = {}
    for line in text.splitlines():
        matched = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        if matched is None:
            continue
        try:
            value = float(matched[3])
        except ValueError:
            continue
        labels = {name: re.sub(r"\\(.)", r"\1", text) for name, text in _LABEL.findall(matched[2] or "")}
        found.setdefault(matched[1], []).append((labels, value))
    return found


def total(found: Samples, name: str) -> float | None:
    """Return the sum of all samples of a metric; None if it has none."""
    values = [value for _, value in found.get(name, [])]
    return sum(values) if values else None
