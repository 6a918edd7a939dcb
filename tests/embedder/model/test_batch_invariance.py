"""A text has the same vector in every batch; caches and indexes depend on it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_embedder.model.prepared_model import read_manifest
from tandem_embedder.prepare.calibration import calibration_texts
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.tokenizer_file import TextTokenizer, read_tokenizer

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["int8", "fp32"])
def graph(request, model_dir: Path) -> Graph:
    return Graph(model_dir / read_manifest(model_dir).variants[request.param].graph)


@pytest.fixture(scope="module")
def sequences(model_dir: Path) -> list[list[int]]:
    return TextTokenizer(read_tokenizer(model_dir), 256).encode(calibration_texts())


batches = st.lists(st.integers(0, 10_000), min_size=2, max_size=12)


@settings(max_examples=25)
@given(picks=batches)
def test_company_does_not_change_a_vector(graph: Graph, sequences: list[list[int]], picks: list[int]) -> None:
    batch = [sequences[pick % len(sequences)] for pick in picks]
    alone = np.concatenate([graph.run([sequence])[0] for sequence in batch])
    np.testing.assert_allclose(graph.run(batch)[0], alone, atol=TOLERANCE, rtol=0)


@settings(max_examples=15)
@given(tokens=st.lists(st.integers(1000, 30_000), min_size=1, max_size=40), longest=st.integers(43, 256))
def test_padding_does_not_change_a_vector(graph: Graph, tokens: list[int], longest: int) -> None:
    sequence = [101, *tokens, 102]
    neighbour = [101, *[2000] * (longest - 2), 102]
    [[alone]] = graph.run([sequence])
    for pad_id in (0, 17_000):
        padded = graph.run([sequence, neighbour], pad_id=pad_id)[0][0]
        np.testing.assert_allclose(padded, alone, atol=TOLERANCE, rtol=0)


def test_the_longest_beside_the_shortest(graph: Graph, sequences: list[list[int]]) -> None:
    longest = [101, *([7592, 2088] * 127), 102]
    assert len(longest) == 256
    shortest = [101, 7592, 102]
    alone = np.concatenate([graph.run([shortest])[0], graph.run([longest])[0]])
    np.testing.assert_allclose(graph.run([shortest, longest])[0], alone, atol=TOLERANCE, rtol=0)
