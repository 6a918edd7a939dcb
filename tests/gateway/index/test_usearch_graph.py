"""usearch's graph: a search's effort. The behaviour that all graphs share is tested in ``tests/gateway/ports``."""

import numpy as np

from tandem_gateway.adapters.usearch_index import UsearchGraphFactory


def test_more_effort_finds_everything_that_less_effort_finds():
    rows = 4000
    # Random vectors of many dimensions have nearly equal distances: a graph finds them only with effort.
    vectors = np.random.default_rng(0).standard_normal((rows, 96)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    graph = UsearchGraphFactory().create(96)
    graph.add(np.arange(rows, dtype=np.uint64), vectors)
    found = {
        effort: {key for key, nodes in enumerate(graph.search(vectors, 1, effort)) if key in nodes}
        for effort in (4, 16, 64)
    }
    assert found[4] <= found[16] <= found[64]
    assert len(found[4]) < rows
