"""Data sets, scores with known results, and search modes that a server supports or refuses."""

import json
import math
from pathlib import Path

import pytest

from gateway_bench import quality
from gateway_bench.retrieval.datasets import NoDataset, read_dataset
from gateway_bench.retrieval.scores import score
from tests.bench.conftest import ScriptedServer

CRANFIELD_DOCUMENTS = """.I 1
.T
a title .
.A
somebody
.B
somewhere
.W
a title .
  and an
abstract .
.I 2
.T
only a title
.A
.B
.W
.I 3
.T
.A
.B
.W
"""
CRANFIELD_QUERIES = """.I 001
.W
first
query .
.I 004
.W
second query .
.I 009
.W
nobody judged this
"""
# Query 2 is the second in the file, and its .I is 004. 5 means not relevant; document 3 has no text.
CRANFIELD_JUDGEMENTS = "1 1 1 \n1  2  4\n2 2 5\n2 1 -1\n2 3 1\n"


@pytest.fixture
def cranfield(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "cran.all.1400").write_text(CRANFIELD_DOCUMENTS)
    (folder / "cran.qry").write_text(CRANFIELD_QUERIES)
    (folder / "cranqrel").write_text(CRANFIELD_JUDGEMENTS)
    return folder


def test_cranfield_counts_its_queries_from_one_and_all_but_code_five_is_relevant(cranfield: Path) -> None:
    dataset = read_dataset(cranfield)
    assert [(document.id, document.text) for document in dataset.documents] == [
        ("1", "a title . and an abstract ."),
        ("2", "only a title"),
    ]
    assert dataset.queries == {"1": "first query .", "2": "second query ."}
    assert dataset.judgements == {"1": {"1": 1, "2": 1}, "2": {"1": 1}}


def test_beir_reads_title_and_text_and_skips_unjudged_documents(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "T", "text": "body"}\n{"_id": "d2", "title": "", "text": "other"}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t0\nq2\tgone\t1\n")
    dataset = read_dataset(tmp_path)
    assert [document.text for document in dataset.documents] == ["T\nbody", "other"]
    assert dataset.queries == {"q1": "one"}
    assert dataset.judgements == {"q1": {"d2": 2}}


def test_a_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDataset, match=r"0 files \*.all\*"):
        read_dataset(tmp_path)


def test_scores_with_known_answers() -> None:
    judgements = {"q": {"a": 3, "b": 1, "c": 2}}
    found = score(judgements, {"q": ["x", "b", "a"]})
    gained = 1 / math.log2(3) + 3 / math.log2(4)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg_10 == pytest.approx(gained / best)
    assert found.recall_100 == pytest.approx(2 / 3)
    assert found.mrr_10 == pytest.approx(1 / 2)


def test_hits_after_the_cutoff_do_not_count() -> None:
    ranking = [f"x{number}" for number in range(10)] + ["a"] + [f"y{number}" for number in range(89)] + ["b"]
    found = score({"q": {"a": 1, "b": 1}}, {"q": ranking})
    assert (found.ndcg_10, found.mrr_10) == (0.0, 0.0)
    assert found.recall_100 == pytest.approx(1 / 2)


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    found = score({"q": {"a": 1}, "r": {"a": 1}}, {"q": ["a"], "r": []})
    assert (found.ndcg_10, found.recall_100, found.mrr_10) == (0.5, 0.5, 0.5)


def hits(*ids: str) -> tuple[int, bytes]:
    return 200, json.dumps({"results": [{"id": name} for name in ids]}).encode()


def refused(field: str) -> tuple[int, bytes]:
    error = {"message": f"{field}: unknown field", "type": "invalid_request_error", "code": "x", "param": field}
    return 422, json.dumps({"error": error}).encode()


def test_every_mode_is_asked_by_name(
    server: ScriptedServer, cranfield: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = {"dense": hits("1", "2"), "lexical": hits("2"), "auto": hits()}
    server.script = lambda number: answers[str(server.asked[number]["mode"])]
    written = tmp_path / "quality.json"
    arguments = ["--dataset", str(cranfield), "--no-ingest", "--json", str(written), server.url]
    assert quality.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| `dense` | 1.0000 | 1.0000 | 1.0000 |" in lines
    assert any(line.startswith("| `lexical` | ") and line.endswith(" | 0.2500 | 0.5000 |") for line in lines)
    assert "| `auto` | 0.0000 | 0.0000 | 0.0000 |" in lines
    assert {asked["collection"] for asked in server.asked} == {"quality-small"}
    assert {asked["top_k"] for asked in server.asked} == {100}
    assert [entry["mode"] for entry in json.loads(written.read_text())["modes"]] == ["dense", "lexical", "auto"]


@pytest.mark.parametrize(("option", "chunking"), [("128", {"max_tokens": 128}), ("whole", None)])
def test_the_collection_is_made_with_passages_of_a_length(
    server: ScriptedServer, cranfield: Path, option: str, chunking: object
) -> None:
    server.script = lambda number: hits("1")
    arguments = ["--dataset", str(cranfield), "--no-ingest", "--modes", "dense", "--passages", option, server.url]
    assert quality.main(arguments) == 0
    assert server.asked[0] == {"chunking": chunking}
    assert server.asked[1]["mode"] == "dense"


def test_a_length_of_passages_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        quality.main(["--dataset", "x", "--passages", "long", "http://localhost"])
    assert "a number of tokens or `whole` was expected, not 'long'" in capsys.readouterr().err


def test_a_server_without_modes_is_scored_as_it_is(
    server: ScriptedServer, cranfield: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = lambda number: refused("mode") if "mode" in server.asked[number] else hits("1", "2")
    assert quality.main(["--dataset", str(cranfield), "--no-ingest", server.url]) == 0
    said = capsys.readouterr().out
    assert said.count("refused: mode: unknown field") == 3
    assert "| default | 1.0000 | 1.0000 | 1.0000 |" in said


def test_another_refusal_is_no_missing_mode(
    server: ScriptedServer, cranfield: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = lambda number: refused("top_k")
    assert quality.main(["--dataset", str(cranfield), "--no-ingest", server.url]) == 1
    assert "top_k: unknown field" in capsys.readouterr().err
