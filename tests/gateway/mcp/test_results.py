"""Results keep to their number of tokens, tell what they leave out, and their offsets are those of their texts."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.mcp.budget import cost, tokens
from tandem_gateway.http.mcp.citing import Citation, cite
from tandem_gateway.http.mcp.messages import MIN_TOKENS
from tandem_gateway.http.mcp.results import found_passages, listed_collections, many_documents, one_document
from tandem_gateway.records.documents import CollectionRecord, DocumentView
from tandem_gateway.records.search import Hit, HitPassage
from tandem_gateway.use_cases.result_pages import Answer

CHARACTERS = st.characters(exclude_categories=["Cs"])
IDS = st.text(CHARACTERS, min_size=1, max_size=30)
LONG = st.builds(lambda text, times: text * times, st.text(CHARACTERS, max_size=20), st.integers(1, 400))
METADATA = st.dictionaries(
    st.sampled_from(["title", "url", "source", "filename", "file", "year"]),
    st.none() | st.integers(-9, 9) | st.text(CHARACTERS, max_size=40) | st.just("https://example.org/a"),
).map(lambda value: msgspec.json.encode(value).decode())
TOKENS = st.integers(MIN_TOKENS, 6_000)


def read(result: bytes, max_tokens: int) -> dict[str, Any]:
    """Return a result whose tokens are within its limit, and as it says."""
    made: dict[str, Any] = msgspec.json.decode(result)
    assert tokens(cost(result)) <= made["tokens"] <= max_tokens
    return made


@st.composite
def hits(draw: st.DrawFn) -> Hit:
    text = draw(LONG)
    start = draw(st.integers(0, len(text)))
    passage = draw(
        st.none() | st.just(HitPassage(draw(st.integers(0, 50)), start, draw(st.integers(start, len(text)))))
    )
    return Hit(draw(IDS), 0.5, text, draw(METADATA), passage=passage)


@given(st.lists(hits(), max_size=8), TOKENS)
def test_passages_keep_to_their_tokens(found: list[Hit], max_tokens: int):
    made = read(found_passages(Answer(found, "hybrid"), "books", max_tokens), max_tokens)
    assert len(made["results"]) + made["left_out"] == len(found)
    for hit, passage in zip(found, made["results"], strict=False):
        end = hit.passage.stop if hit.passage is not None else len(hit.text)
        assert passage["id"] == hit.doc_id
        assert passage["text"] == hit.text[passage["start"] : passage["end"]]
        assert passage.get("truncated", False) == (passage["end"] < end)


@given(IDS, LONG, METADATA, TOKENS)
def test_the_parts_of_a_document_are_the_document(doc_id: str, text: str, metadata: str, max_tokens: int):
    view = DocumentView(doc_id, text, metadata, True)
    start, whole = 0, ""
    while True:
        made = read(one_document(view, "books", start, len(text), max_tokens), max_tokens)
        whole += made["text"]
        assert (made["start"], made["end"], made["length"]) == (start, len(whole), len(text))
        if "next_start" not in made:
            break
        assert start < made["next_start"] == len(whole)
        start = made["next_start"]
    assert whole == text


@given(st.dictionaries(IDS, st.tuples(LONG, METADATA), max_size=6), st.lists(IDS, max_size=4), TOKENS)
def test_documents_keep_to_their_tokens(stored: dict[str, tuple[str, str]], missing: list[str], max_tokens: int):
    views = [DocumentView(doc_id, text, metadata, True) for doc_id, (text, metadata) in stored.items()]
    try:
        made = read(many_documents(views, missing, "books", max_tokens), max_tokens)
    except InvalidRequest:  # the ids alone take more
        return
    assert [each["id"] for each in made["documents"]] + made["left_out"] == list(stored)
    assert made["missing"] == missing
    for document in made["documents"]:
        text = stored[document["id"]][0]
        assert document["text"] == text[: document["end"]]
        assert (document.get("next_start") == document["end"]) == (document["end"] < len(text))


@given(st.integers(0, 300), TOKENS)
def test_collections_keep_to_their_tokens(count: int, max_tokens: int):
    records = [CollectionRecord(n, f"name-{n}", n, None, None, None, n, 0) for n in range(count)]
    made = read(listed_collections(records, max_tokens), max_tokens)
    assert len(made["collections"]) + made["left_out"] == count


def test_ids_without_room_are_refused():
    views = [DocumentView("1" * 250 + str(n), "text", "{}", True) for n in range(5)]
    with pytest.raises(InvalidRequest, match="max_tokens: the ids alone may take"):
        many_documents(views, [], "books", MIN_TOKENS)


def test_metadata_keeps_the_digits_of_its_numbers():
    view = DocumentView("a", "text", '{"price":0.10000000000000000001}', True)
    assert b'"price":0.10000000000000000001' in one_document(view, "books", 0, 4, MIN_TOKENS)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("{}", Citation("a/b", "tandem:books/a%2Fb", None)),
        ('{"title":"T","url":"https://x/","source":"S"}', Citation("T", "https://x/", "S")),
        ('{"source":"http://x/"}', Citation("http://x/", "http://x/", "http://x/")),
        ('{"filename":"f.pdf","page":3}', Citation("f.pdf", "tandem:books/a%2Fb", "f.pdf")),
        ('{"file":"f.pdf","title":7,"url":"ftp://x","source":[1]}', Citation("f.pdf", "tandem:books/a%2Fb", "f.pdf")),
        (f'{{"source":"{"s" * 501}","title":"{"t" * 301}"}}', Citation("t" * 300, "tandem:books/a%2Fb", None)),
    ],
)
def test_a_document_is_cited_by_its_metadata(metadata: str, expected: Citation):
    assert cite("books", "a/b", metadata) == expected
