"""Ranges of the activations over the calibration texts.

The package includes the texts, which were written for it: questions, prose, technical text, code, names, numbers and
other languages, from 1 to about 250 tokens. All int8 models use the same texts. A change of the texts changes the
vectors, so it needs a new version of the recipe (``bert-int8``).
"""

import json
from collections.abc import Iterable
from importlib import resources

import numpy as np

from tandem_embedder.prepare.quantisation import ChannelRange
from tandem_embedder.prepare.runtime import Graph

CALIBRATION_TEXTS = "calibration_texts.json"


def calibration_texts() -> list[str]:
    """Return the calibration texts from the package."""
    content = resources.files("tandem_embedder.prepare").joinpath(CALIBRATION_TEXTS).read_text(encoding="utf-8")
    texts: list[str] = json.loads(content)
    return texts


def calibrate(graph: Graph, points: dict[str, str], sequences: Iterable[list[int]]) -> dict[str, ChannelRange]:
    """Return the range of every channel at every point.

    Args:
        graph: an fp32 graph whose outputs include the tensors of ``points``, ``(tokens, channels)``.
        points: site → name of its tensor.
        sequences: token ids of each text. They run one by one, so that padding does not affect the ranges.
    """
    names = sorted(set(points.values()))
    low = {name: np.float32(np.inf) for name in names}
    high = {name: np.float32(-np.inf) for name in names}
    for sequence in sequences:
        for name, values in zip(names, graph.run([sequence], names), strict=True):
            low[name] = np.minimum(low[name], values.min(axis=0))
            high[name] = np.maximum(high[name], values.max(axis=0))
    return {site: ChannelRange(np.asarray(low[name]), np.asarray(high[name])) for site, name in points.items()}
