"""Reads and checks of embeddings in three shapes, and the medians, ratios and cosines computed from them."""

import json

import numpy as np
import pytest

from gateway_bench.embedding.figures import Load, Report, Subject, make_rows, mean_cosine, table
from gateway_bench.embedding.shapes import SHAPES, WrongAnswer
from gateway_bench.results import Machine
from tandem_contract.embed import Kind

ROWS = [[1.0, 2.0], [3.0, 4.5]]
ANSWERS = {
    "tandem": json.dumps({"embeddings": ROWS, "dim": 2, "model": "m", "more": 1}).encode(),
    "tei": json.dumps(ROWS).encode(),
    "openai": json.dumps({"data": [{"index": n, "embedding": ROWS[n]} for n in (1, 0)]}).encode(),
}


def load(server: str, number: int, texts: int, kind: Kind = "query", clients: int = 1, **other: object) -> Load:
    known: dict[str, object] = {"p50": 2.0, "p95": 4.0, "cpu_seconds": 0.5, "rss_mib": 100.0, "errors": {}, **other}
    return Load(server=server, round=number, kind=kind, clients=clients, texts=texts, seconds=2.0, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_reads_its_own_answer_and_no_other(name: str) -> None:
    shape = SHAPES[name]
    assert shape.vectors(ANSWERS[name], 2).tolist() == ROWS
    for other in ANSWERS.keys() - {name}:
        with pytest.raises(WrongAnswer, match=f"not in the shape {name}"):
            shape.vectors(ANSWERS[other], 2)


@pytest.mark.parametrize(
    ("body", "count", "dim", "reason"),
    [
        (b"[[1.0, 2.0]]", 2, None, "another number of vectors"),
        (b"[]", 1, None, "another number of vectors"),
        (b"[[1.0, 2.0], [1.0]]", 2, None, "different dimensions"),
        (b"[[]]", 1, None, "different dimensions"),
        (b"[[1.0, 2.0]]", 1, 3, "different dimensions"),
        (b"[[1.0, 1e999]]", 1, None, "not in the shape"),
        (b"[[1.0, NaN]]", 1, None, "not in the shape"),
        (b"[[1.0, null]]", 1, None, "not in the shape"),
        (b"\xff", 1, None, "not in the shape"),
    ],
)
def test_a_wrong_answer_is_reported_with_its_reason(body: bytes, count: int, dim: int | None, reason: str) -> None:
    with pytest.raises(WrongAnswer, match=reason):
        SHAPES["tei"].vectors(body, count, dim)


def test_each_shape_asks_with_its_own_fields() -> None:
    asked = {name: json.loads(shape.encode(["a", "b"], "query", "m")) for name, shape in SHAPES.items()}
    assert (asked["tandem"]["texts"], asked["tandem"]["kind"]) == (["a", "b"], "query")
    assert asked["tei"]["inputs"] == ["a", "b"]
    assert asked["openai"] == {"input": ["a", "b"], "model": "m"}
    assert [shape.path for shape in SHAPES.values()] == ["/embed", "/embed", "/v1/embeddings"]


def test_the_cosine_is_of_directions_and_of_equal_dimensions_only() -> None:
    first = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert mean_cosine(3 * first, first) == pytest.approx(1.0)
    assert mean_cosine(np.array([[1.0, 0.0], [5.0, 0.0]]), first) == pytest.approx(0.5)
    assert mean_cosine(np.zeros((2, 2)), first) == 0.0
    assert mean_cosine(np.ones((2, 3)), first) is None


def test_medians_are_of_rounds_and_ratios_of_the_same_round() -> None:
    # The machine is half as fast in round 2: rates change, ratios do not.
    paces = ((1, 1.0), (2, 0.5), (3, 0.8))
    loads = [load("a", number, int(1000 * pace)) for number, pace in paces]
    loads += [load("b", number, int(3000 * pace), errors={"HTTP 429": number}) for number, pace in paces]
    first, second = make_rows(["a", "b"], loads)
    assert (first.texts_per_second, first.ratio) == (400.0, None)
    assert (second.texts_per_second, second.ratio) == (1200.0, pytest.approx(3.0))
    assert first.cpu_ms == pytest.approx(500 / 800)
    assert second.errors == {"HTTP 429": 6}


def test_the_table_has_every_server_under_every_load_and_marks_unknown_values() -> None:
    loads = [
        load(server, 1, 100, kind, clients, **({"cpu_seconds": None, "rss_mib": None} if server == "far" else {}))
        for server in ("here", "far")
        for kind in ("query", "document")
        for clients in (1, 16)
    ]
    servers = [
        Subject("here", "tandem", True, 384),
        Subject("far", "openai", False, 768, None),
        Subject("dead", "tei", True, failure="it ended | with status 1"),
    ]
    rows = make_rows([server.name for server in servers], loads)
    made = Report(1, "now", "abc", Machine("a CPU", 2, 8.0, "Linux", "3"), 3, 5.0, [1, 16], 32, servers, rows, loads)
    shown = table(made)
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {9}
    assert "| here | 16 | 50.0 | 2.0 | 4.0 | 5.00 | 100 | - |" in lines
    assert "| far | 16 | 50.0 (1.00 ×) | 2.0 | 4.0 | - | - | - |" in lines
    assert lines.count("| dead | | failed: it ended / with status 1 | | | | | |") == 2
    assert "Documents, 32 texts a request" in shown
    assert "far: 768 dimensions, shape openai" in shown
