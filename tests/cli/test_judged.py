"""Files of judged queries."""

from pathlib import Path

import pytest

from tandem_cli.evaluation.judged import JudgedQuery, read, read_qrels
from tandem_cli.failures import UsageError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "qrels",
    [
        "q1 0 mat 2\nq1 0 tea 0\n",
        "q1\t0\tmat\t2\nq1\t0\ttea\t0\n",
        "query-id\tcorpus-id\tscore\nq1\tmat\t2\nq1\ttea\t0\n",
    ],
    ids=["TREC", "TREC with tabs", "BEIR"],
)
def test_queries_with_judgements(qrels: str, tmp_path: Path) -> None:
    queries = written(tmp_path, "queries.jsonl", '{"_id": "q1", "text": "a pet"}\n\n{"id": "q2", "query": "a cup"}\n')
    found = read(queries, written(tmp_path, "qrels", qrels))
    assert found.queries == [JudgedQuery("q1", "a pet", {"mat": 2, "tea": 0})]
    assert found.left_out == 1


def test_ids_with_spaces_are_read_from_columns_with_tabs(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "qrels", "q1\t0\ta b\t1\n")) == {"q1": {"a b": 1}}


def test_a_query_log(tmp_path: Path) -> None:
    log = written(
        tmp_path,
        "log.jsonl",
        '\ufeff{"query": "a pet", "clicked": ["mat", 7]}\n{"query": "a cup", "clicked": []}\n'
        '{"query": "leaves", "judgements": {"tea": 3, "mat": 0}, "id": "q9"}\n',
    )
    found = read(log, None)
    assert found.queries == [
        JudgedQuery("1", "a pet", {"mat": 1, "7": 1}),
        JudgedQuery("q9", "leaves", {"tea": 3, "mat": 0}),
    ]
    assert found.left_out == 1


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("{", "line 1: JSON was expected"),
        ("[]", "line 1: an object was expected"),
        ('{"query": " "}', "line 1: text: a text that is not empty"),
        ('{"query": "a", "clicked": "mat"}', "clicked: a list of ids"),
        ('{"query": "a", "judgements": {"mat": "2"}}', "judgements: an object of ids and whole numbers"),
        ('{"query": "a", "judgements": {"mat": true}}', "judgements: an object of ids and whole numbers"),
        ('{"query": "a", "clicked": []}', "no query has a relevant document"),
        (
            '{"id": 1, "query": "a", "clicked": ["b"]}\n{"id": "1", "query": "b", "clicked": ["b"]}',
            "line 2: the id '1'",
        ),
        ("", "no query has a relevant document"),
    ],
)
def test_a_wrong_log_is_refused_with_its_line(log: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(written(tmp_path, "log.jsonl", log), None)


@pytest.mark.parametrize(
    ("qrels", "said"), [("q1 mat\n", "line 1: query, 0"), ("a b c\nq1 0 mat good\n", "line 2: a whole number")]
)
def test_wrong_judgements_are_refused_with_their_line(qrels: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_qrels(written(tmp_path, "qrels", qrels))


def test_with_judgements_a_query_needs_an_id(tmp_path: Path) -> None:
    queries = written(tmp_path, "queries.jsonl", '{"text": "a pet"}')
    with pytest.raises(UsageError, match="line 1: id: a text or a whole number"):
        read(queries, written(tmp_path, "qrels", "q1 0 mat 1"))


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "missing", None)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "binary", None)


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        ("q1 0 mat 2\nq1 0 mat 0\n", "line 2: the query 'q1' has the grade 2 for 'mat' already, not 0"),
        ("q1 0 mat 1.0\n", "line 1: a whole number was expected"),
    ],
    ids=["contradiction", "a first line that is no heading"],
)
def test_no_judgement_is_dropped_silently(qrels: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_qrels(written(tmp_path, "qrels", qrels))


def test_a_judgement_may_be_repeated(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "qrels", "q1 0 mat 2\nq1 0 mat 2\n")) == {"q1": {"mat": 2}}
