"""What was read from files → documents: a file fails as a whole, and a process is not trusted."""

import json

import msgspec
import pytest

from tandem_contract.client_api import IngestedFile
from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.file_documents import metadata_of_form, read_files
from tandem_gateway.records.files import Extraction
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import OverBudget

LIMITS = RequestLimits(documents=100, text_chars=20, metadata_bytes=50, query_chars=1, top_k=1)


def lines(*documents: dict[str, object]) -> Extraction:
    return Extraction(b"".join(json.dumps(document).encode() + b"\n" for document in documents))


GOOD = lines({"id": "a", "text": "x", "metadata": {"n": 1}, "format": "markdown"})


def test_documents_are_those_of_an_ingest() -> None:
    documents, files = read_files(["a.md"], [GOOD], LIMITS)
    assert [(each.doc_id, each.text, each.metadata, each.format, each.given_id) for each in documents] == [
        ("a", "x", '{"n":1}', "markdown", True)
    ]
    assert files == [IngestedFile("a.md", 1)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Extraction(error="is broken"), "is broken"),
        (Extraction(), "has no documents"),
        (Extraction(b"no JSON\n"), "b is not valid JSON"),
        (Extraction(b"{}\n"), "required field is missing: b.id"),
        (lines({"id": "c", "text": "x"}, {"id": "d"}), "required field is missing: d.text"),
        (lines({"id": "c", "text": "x"}, {"id": "..", "text": "x"}), "..id: '.' and '..' are not allowed"),
        (lines({"id": "c", "text": "x" * 21}), "c.text: at most 20 characters"),
        (lines({"id": "c", "text": "x", "metadata": {"k": "v" * 50}}), "c.metadata: at most 50 bytes"),
        (lines({"id": "c", "text": "x", "metadata": {"k": [[]]}}), "c.metadata.k"),
        (lines({"id": "c", "text": "x"}, {"id": "c", "text": "y"}), "the id 'c' is there already, in b"),
        (lines({"id": "a", "text": "x"}), "the id 'a' is there already, in a.md"),
    ],
)
def test_a_file_with_a_document_that_is_not_valid_fails_as_a_whole(bad: Extraction, reason: str) -> None:
    documents, files = read_files(["a.md", "b", "z"], [GOOD, bad, lines({"id": "c", "text": "later"})], LIMITS)
    assert [each.doc_id for each in documents] == ["a", "c"]
    assert [each.documents for each in files] == [1, 0, 1]
    assert reason in str(files[1].error)
    with pytest.raises(InvalidRequest) as raised:
        read_files(["b"], [bad if "in a.md" not in reason else Extraction(error=reason)], LIMITS)
    assert raised.value.param == "files[0]"
    assert reason in str(raised.value)


def test_too_many_documents_of_all_files_are_an_error_of_the_request() -> None:
    many = [lines(*[{"id": f"{n}-{place}", "text": "x"} for place in range(60)]) for n in range(2)]
    with pytest.raises(InvalidRequest) as raised:
        read_files(["a", "b"], many, LIMITS)
    assert (raised.value.param, raised.value.code) == ("documents", "limit_exceeded")


def test_documents_beyond_the_memory_budget_are_refused() -> None:
    def hold(size: int) -> None:
        raise OverBudget(f"{size} bytes")

    with pytest.raises(OverBudget):
        read_files(["a"], [lines(*[{"id": str(n), "text": "x"} for n in range(64)])], LIMITS, hold)


def test_the_metadata_of_a_form_keeps_its_digits_in_one_line() -> None:
    assert metadata_of_form(None) == {}
    found = metadata_of_form(b'{"n": 1.00000000000000000001,\n "o": {\n"p": [1,\r\n2]}}')
    assert found == {"n": msgspec.Raw(b"1.00000000000000000001"), "o": msgspec.Raw(b'{"p":[1,2]}')}


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", "metadata"), (b"[]", "metadata"), (b'{"a": [[]]}', "metadata.a[0]"), (b'{"page": 1}', "metadata.page"),
        (b'{"title": ""}', "metadata.title"), (b'{"a": "\xff"}', "metadata.a"),
    ],
)  # fmt: skip
def test_metadata_of_a_form_that_is_not_valid_is_named(raw: bytes, param: str) -> None:
    with pytest.raises((InvalidMessage, InvalidRequest)) as raised:
        metadata_of_form(raw)
    assert raised.value.param == param
