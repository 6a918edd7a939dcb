"""An ingest with ``on_error`` ``skip`` leaves out documents that are not valid, and tells which and why."""

import json
from typing import Any

import pytest

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http import ingest_body
from tandem_gateway.http.ingest_body import WHOLE_BYTES, IngestReader, read_ingest, read_lines
from tandem_gateway.http.ingest_content import Content
from tandem_gateway.records.documents import NewDocuments
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import MemoryBudget, OverBudget

LIMITS = RequestLimits(documents=30, text_chars=50, metadata_bytes=100, query_chars=100, top_k=10)
REFUSALS = (InvalidMessage, InvalidRequest)
TOO_DEEP = {"a": {"b": {"c": {"d": {}}}}}
# A document that is not valid; the place in it and the id that the reply names.
INVALID: list[tuple[Any, str, str | None]] = [
    ({"id": "blank", "text": " "}, ".text", "blank"),
    ({"id": "long", "text": "x" * 51}, ".text", "long"),
    ({"id": "nul", "text": "a\0"}, ".text", "nul"),
    ({"id": 7, "text": ""}, ".text", "7"),
    ({"id": "x" * 257, "text": "x"}, ".id", None),
    ({"id": "a/../b", "text": "x"}, ".id", None),
    ({"id": "", "text": "x"}, ".id", None),
    ({"id": 1.5, "text": "x"}, ".id", None),
    ({"id": "deep", "text": "x", "metadata": TOO_DEEP}, ".metadata.a.b.c.d", "deep"),
    ({"id": "large", "text": "x", "metadata": {"k": "x" * 101}}, ".metadata", "large"),
    ({"id": "typo", "txt": "x"}, ".txt", "typo"),
    ({"id": "none"}, ".text", "none"),
    ({"id": "number", "text": 1}, ".text", "number"),
    ({"text": "\ud800"}, ".text", None),
    (7, "", None),
    (None, "", None),
    ([], "", None),
]


@pytest.fixture(params=["whole", "in parts", "lines"])
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def read(documents: list[Any], form: str, limits: RequestLimits = LIMITS) -> NewDocuments:
    if form == "lines":
        return read_lines("\n".join(map(json.dumps, documents)).encode(), "books", limits, skip=True)
    pad = " " * WHOLE_BYTES if form == "in parts" else ""
    return read_ingest((json.dumps({"documents": documents, "on_error": "skip"}) + pad).encode(), limits)[1]


@pytest.mark.parametrize(("document", "place", "doc_id"), INVALID)
def test_an_invalid_document_is_left_out_and_told(document: Any, place: str, doc_id: str | None, form: str) -> None:
    found = read([{"id": "first", "text": "x"}, document, {"id": "last", "text": "y"}], form)
    assert [each.doc_id for each in found] == ["first", "last"]
    assert found.skipped is not None
    (skipped,) = found.skipped
    assert skipped.param == f"documents[1]{place}"
    assert (skipped.index, skipped.doc_id) == (1, doc_id)
    assert "documents[1]" in skipped.message
    assert len(skipped.message) < 600
    with pytest.raises(REFUSALS):
        read_lines("\n".join(map(json.dumps, [{"text": "x"}, document])).encode(), "books", LIMITS)


def test_many_are_told_in_order(form: str) -> None:
    documents: list[Any] = []
    for invalid, _, _ in INVALID[:10]:
        documents += [invalid, {"text": "x"}]
    found = read(documents, form)
    assert len(found) == 10
    assert [each.index for each in found.skipped or ()] == list(range(0, 20, 2))


def test_if_none_is_invalid_nothing_is_told(form: str) -> None:
    found = read([{"text": "x"}], form)
    assert (len(found), found.skipped) == (1, [])


def test_a_document_twice_is_valid(form: str) -> None:
    found = read([{"id": "a", "text": "one"}, {"id": "a", "text": "two"}], form)
    assert ([each.text for each in found], found.skipped) == (["one", "two"], [])


def test_if_all_are_invalid_the_ingest_is_refused_for_the_first(form: str) -> None:
    for documents, end in (([{"text": " "}], ""), ([{"text": " "}, 7], " (and no other document is valid)")):
        with pytest.raises(InvalidRequest) as refusal:
            read(documents, form)
        assert (refusal.value.code, refusal.value.param) == ("invalid_field", "documents[0].text")
        assert str(refusal.value).startswith("documents[0].text: a text that is not empty")
        assert str(refusal.value).endswith(f"was expected{end}")


@pytest.mark.parametrize(
    ("documents", "code"),
    [([], "invalid_field"), ([{"text": "x"}] * 31, "limit_exceeded"), ([7] * 31, "limit_exceeded")],
)
def test_the_number_of_documents_is_a_limit_of_the_request(documents: list[Any], code: str, form: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read(documents, form)
    assert (refusal.value.code, refusal.value.param) == (code, "documents")


@pytest.mark.parametrize("pad", [b"", b" " * WHOLE_BYTES])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"documents":[{"text":"x"},{"text":bad}],"on_error":"skip"}', "malformed_body"),
        (b'{"documents":[{"text":"x"},],"on_error":"skip"}', "malformed_body"),
        (b'{"documents":[{"text":"x"}],"on_error":"skip"', "malformed_body"),
        (b'{"documents":[{"text":"x"}],"on_error":"ignore"}', "invalid_field"),
        (b'{"documents":[{"text":"x"}, 7],"on_error":null}', "invalid_field"),
        (b'{"documents":[{"text":"x"}],"on_error":"skip","collection":"/"}', "invalid_field"),
        (b'{"documents":7,"on_error":"skip"}', "invalid_field"),
        (b'{"documents":[{"text":"x"}],"on_error":"skip","x":1}', "unknown_field"),
        (b'{"on_error":"skip"}', "missing_field"),
    ],
)
def test_a_body_that_is_invalid_itself_is_refused(body: bytes, pad: bytes, code: str) -> None:
    with pytest.raises(REFUSALS) as refusal:
        read_ingest(body + pad, LIMITS)
    assert refusal.value.code == code


def test_a_line_that_is_no_json_is_left_out() -> None:
    found = read_lines(b'{"text":"x"}\nnot JSON\n{"text":"y"}\n{"text":"\xff"}', "books", LIMITS, skip=True)
    assert [each.text for each in found] == ["x", "y"]
    assert [(each.index, each.param) for each in found.skipped or ()] == [(1, "documents[1]"), (3, "documents[3]")]


def test_a_document_larger_than_any_can_be_is_left_out_before_it_is_decoded(form: str) -> None:
    found = read([{"id": "large", "text": "x" * 100_000}, {"text": "x"}], form)
    assert found.skipped is not None
    assert [(each.index, each.doc_id, each.param) for each in found.skipped] == [(0, None, "documents[0]")]


@pytest.mark.parametrize("invalid", [0, 1])
async def test_no_document_is_skipped_in_the_event_loop(invalid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def watched(*args: Any, **options: Any) -> Any:
        calls.append(options.get("in_loop", False))
        return read_ingest(*args, **options)

    monkeypatch.setattr(ingest_body, "read_ingest", watched)
    body = json.dumps({"documents": [{"text": "x"}, *[7] * invalid], "on_error": "skip"}).encode()
    budget = MemoryBudget(1 << 20, "A_SETTING")
    reader = IngestReader(LIMITS, timeout=30)
    _, found = await reader.read(body, budget.lease())
    assert (len(found), len(found.skipped or ())) == (1, invalid)
    assert calls == [True, False]
    lines = b'{"text":"x"}\n' + b"7\n" * invalid
    _, found = await reader.read(lines, budget.lease(), Content("books", skip=True))
    assert (len(found), len(found.skipped or ())) == (1, invalid)


@pytest.mark.parametrize("pad", [b"", b" " * WHOLE_BYTES])
def test_a_name_with_an_escape_is_the_same_name(pad: bytes) -> None:
    _, found = read_ingest(rb'{"docu\u006dents":[{"text":"x"}, 7],"on\u005ferror":"sk\u0069p"}' + pad, LIMITS)
    assert (len(found), len(found.skipped or ())) == (1, 1)


async def test_the_skipped_documents_hold_their_memory() -> None:
    limits = RequestLimits(documents=1000, text_chars=50, metadata_bytes=100, query_chars=100, top_k=10)
    lines = b'{"text":"x"}\n' + b"7\n" * 900
    budget = MemoryBudget(1 << 20, "A_SETTING")
    reader = IngestReader(limits, timeout=30)
    _, found = await reader.read(lines, budget.lease(), Content("books", skip=True))
    assert len(found.skipped or ()) == 900
    assert budget.held > 900 * 400
    with pytest.raises(OverBudget):
        await reader.read(lines, MemoryBudget(100_000, "A_SETTING").lease(), Content("books", skip=True))
