"""Corpus and queries: the same for the same seed, and all distinct."""

from pathlib import Path

import pytest

from gateway_bench import corpus, queries
from tandem_tools.corpus import Document


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return corpus.read_corpus(None)[0]


def test_the_sample_corpus_has_text_for_all_queries_and_comes_without_metadata(documents: list[Document]) -> None:
    assert len(queries.make_queries(documents)) == queries.DISTINCT
    assert {type(document.metadata) for document in documents} == {dict}
    assert not any(document.metadata for document in documents)
    assert any(document.id == "tempfile.NamedTemporaryFile" for document in documents)


def test_queries_are_distinct_runs_of_five_to_eleven_words_of_a_document(documents: list[Document]) -> None:
    made = queries.make_queries(documents, 4000)
    assert len(set(made)) == 4000
    assert {len(query.split()) for query in made} == set(range(5, 12))
    words = {word.lower() for document in documents for word in queries._WORD.findall(document.text)}
    assert {word for query in made for word in query.split()} <= words


def test_equal_seeds_give_equal_queries_and_others_others(documents: list[Document]) -> None:
    assert queries.make_queries(documents, 100, seed=1) == queries.make_queries(documents, 100, seed=1)
    assert queries.make_queries(documents, 100, seed=1) != queries.make_queries(documents, 100, seed=2)


def test_too_little_text_is_said() -> None:
    with pytest.raises(ValueError, match="too little text"):
        queries.make_queries([Document("a", "one two three four five six seven eight nine ten eleven")], 1000)


def test_a_file_of_queries_may_mix_text_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "queries"
    path.write_text('plain words\n\n{"query": "of a query"}\n{"_id": "7", "text": "of BEIR"}\n')
    assert queries.read_queries(path) == ["plain words", "of a query", "of BEIR"]


@pytest.mark.parametrize(("content", "said"), [("", "no query"), ('{"q": 1}', "line 1"), ("{", "line 1")])
def test_a_file_without_queries_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "queries"
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        queries.read_queries(path)


def test_a_corpus_may_have_ids_or_not(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "x", "text": "one"}\n{"_id": 4, "text": "two"}\n{"text": "three"}\n')
    assert corpus.read_jsonl(path) == [Document("x", "one"), Document("4", "two"), Document("3", "three")]
    path.write_text('{"id": "x"}\n')
    with pytest.raises(ValueError, match="line 1"):
        corpus.read_jsonl(path)


def test_a_body_omits_unset_fields() -> None:
    assert queries.search_body("q", 3) == b'{"query":"q","top_k":3}'
    assert queries.search_body("q", 3, "c", "dense") == b'{"query":"q","top_k":3,"collection":"c","mode":"dense"}'
