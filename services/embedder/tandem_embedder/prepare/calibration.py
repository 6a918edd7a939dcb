"""Ranges of the activations over the calibration texts.

The texts are shipped with the package and were written for it: questions, prose, technical text, code, names,
numbers and other languages, from 1 to some 250 tokens. All int8 models come from the same texts; a change of
them is a change of the recipe (``bert-int8``), since it changes the vectors.
"""

import json
from collections.abc import Iterable
from importlib import resources

import numpy as np

from tandem_embedder.prepare.quantisation import ChannelRange
from tandem_embedder.prepare.runtime import Graph

CALIBRATION_TEXTS = "calibration_texts.json"


def calibration_texts() -> list[str]:
    """Return the texts that are shipped with the package."""
    content = resources.files("tandem_embedder.prepare").joinpath(CALIBRATION_TEXTS).read_text(encoding="utf-8")
    texts: list[str] = json.loads(content)
    return texts


def calibrate(graph: Graph, points: dict[str, str], sequences: Iterable[list[int]]) -> dict[str, ChannelRange]:
    """Return the range of every channel at every point.

    Args:
        graph: an fp32 graph that returns the tensors of ``points`` as outputs, ``(tokens, channels)``.
        points: site → name of its tensor.
        sequences: token ids, one text each; run one by one, so that no padding is measured.
    """
    names = sorted(set(points.values()))
    low = {name: np.float32(np.inf) for name in names}
    high = {name: np.float32(-np.inf) for name in names}
    for sequence in sequences:
        for name, values in zip(names, graph.run([sequence], names), strict=True):
            low[name] = np.minimum(low[name], values.min(axis=0))
            high[name] = np.maximum(high[name], values.max(axis=0))
    return {site: ChannelRange(np.asarray(low[name]), np.asarray(high[name])) for site, name in points.items()}
