"""The comparison of hybrid and filtered search with vector search, on a small corpus with real services."""

import pytest

from gateway_bench import ratios
from gateway_bench.architectures.stub_embedder import QUERIES


def test_the_filters_leave_the_shares_that_their_names_say() -> None:
    places = [document.metadata["place"] for document in ratios.documents(2_000)]
    shares = {}
    for name, body in ratios.ways().items():
        if "filter" in body:
            limit = body["filter"]["place"]["$lt"]
            shares[name] = sum(place < limit for place in places) / len(places)
    assert shares == {
        "dense, a filter leaves 0.1 %": 0.001,
        "dense, a filter leaves 1 %": 0.01,
        "dense, a filter leaves 10 %": 0.1,
        "dense, a filter leaves 90 %": 0.9,
    }


def test_the_stub_knows_the_vectors_of_queries_and_documents() -> None:
    assert [text.split()[:2] for text in ratios.queries(5)] == [["query", str(number)] for number in range(5)]
    assert [each.text.split()[:2] for each in ratios.documents(5)] == [["document", str(n)] for n in range(5)]


def test_each_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    figures = {"dense": [(1.0, 0.0), (2.0, 2.0), (4.0, 4.0)], "hybrid": [(3.0, 1.0), (4.0, 6.0), (16.0, 8.0)]}
    assert ratios.table(figures, 7, 10.4).splitlines() == [
        "7 documents; 10 bytes of memory for each, with what searches keep",
        "",
        "| search | p50 ms | ratio | gateway CPU ms | ratio |",
        "| --- | --- | --- | --- | --- |",
        "| dense | 2.00 | 1.00 | 2.00 | 1.00 |",
        "| hybrid | 4.00 | 3.00 | 6.00 | 2.50 |",
    ]


def test_it_measures_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios.main(["--documents", "150", "--queries", "6", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("150 documents; ")
    assert [line.split(" | ")[0] for line in lines[4:] if line] == [f"| {name}" for name in ratios.ways()]


def test_a_wrong_argument_and_a_gateway_that_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        ratios.main(["--queries", str(QUERIES + 1)])
    assert stopped.value.code == 2
    assert ratios.main(["--documents", "10", "--gateway", "false"]) == 1
    assert "ratios: " in capsys.readouterr().err
