"""Small and large bodies of an ingest are read in the same way, and documents are returned as they were sent."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http import ingest_body
from tandem_gateway.http.ingest_body import WHOLE_BYTES, IngestReader, read_ingest
from tandem_gateway.http.ingest_documents import DocumentMessage
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import MemoryBudget, OverBudget
from tests.support.fakes import eventually

LIMITS = RequestLimits(documents=1000, text_chars=100_000, metadata_bytes=16_384, query_chars=100, top_k=10)
PADDING = " " * WHOLE_BYTES


@pytest.fixture(params=["whole", "in parts"])
def pad(request: pytest.FixtureRequest) -> str:
    """White space that makes a body large, or none: the gateway reads a large body in parts."""
    return PADDING if request.param == "in parts" else ""


def body_of(documents: list[Any], pad: str = "", **fields: Any) -> bytes:
    return (json.dumps({"documents": documents, **fields}) + pad).encode()


def refusal(body: bytes, limits: RequestLimits = LIMITS) -> InvalidMessage | InvalidRequest:
    with pytest.raises((InvalidMessage, InvalidRequest)) as caught:
        read_ingest(body, limits)
    return caught.value


def test_documents_are_read(pad: str) -> None:
    documents = [{"id": f"d{n}", "text": f'text {n}, ["x"]', "metadata": {"n": n, "tags": ["a"]}} for n in range(20)]
    collection, read = read_ingest(body_of(documents, pad, collection="books"), LIMITS)
    assert collection == "books"
    assert [{"id": d.doc_id, "text": d.text, "metadata": json.loads(d.metadata)} for d in read] == documents


@pytest.mark.parametrize(
    ("documents", "code", "param"),
    [
        ([], "invalid_field", "documents"),
        ([{"text": "x"}] * 1001, "limit_exceeded", "documents"),
        ([{"text": "x"}, 7], "invalid_field", "documents[1]"),
        ([{"text": "x"}, {}], "missing_field", "documents[1].text"),
        ([{"text": "x"}, {"txt": "x"}], "unknown_field", "documents[1].txt"),
        ([{"text": "x"}, {"text": 1}], "invalid_field", "documents[1].text"),
        ([{"text": "x"}, {"text": "x", "id": 1.5}], "invalid_field", "documents[1].id"),
        ([{"text": "x"}, {"text": "x", "id": "a/../b"}], "invalid_field", "documents[1].id"),
        ([{"text": "x"}, {"text": ""}], "invalid_field", "documents[1].text"),
        ([{"text": "x", "metadata": []}], "invalid_field", "documents[0].metadata"),
        (
            [{"text": "x", "metadata": {"a": 1, "field_27": [1, True]}}],
            "invalid_field",
            "documents[0].metadata.field_27[1]",
        ),
        ([{"text": "x", "metadata": {"a": {"b": [[]]}}}], "invalid_field", "documents[0].metadata.a.b[0]"),
        (
            [{"text": "x", "metadata": {"a": {"b": {"c": {"d": {}}}}}}],
            "limit_exceeded",
            "documents[0].metadata.a.b.c.d",
        ),
        ([{"text": "x", "metadata": {"k": "x" * 20_000}}], "limit_exceeded", "documents[0].metadata"),
    ],
)
def test_an_invalid_value_is_named_with_its_place(documents: list[Any], code: str, param: str, pad: str) -> None:
    error = refusal(body_of(documents, pad))
    assert (error.code, error.param) == (code, param)
    assert len(str(error)) < 500


@pytest.mark.parametrize("name", ["metadata", "text", "id"])
def test_a_lone_surrogate_is_named_with_its_place(name: str, pad: str) -> None:
    value = '{"key": "\\ud800"}' if name == "metadata" else '"\\ud800"'
    fields = f'"{name}": {value}' if name == "text" else f'"text": "x", "{name}": {value}'
    error = refusal(f'{{"documents": [{{"text": "x"}}, {{{fields}}}]}}{pad}'.encode())
    wanted = "documents[1].metadata.key" if name == "metadata" else f"documents[1].{name}"
    assert (error.code, error.param) == ("invalid_encoding", wanted)


@pytest.mark.parametrize(
    "body",
    [
        b'{"documents": [{"text": "a"}{"text": "b"}]}',
        b'{"documents": [{"text": "a"},]}',
        b'{"documents": [,{"text": "a"}]}',
        b'{"documents": [{"text": "a"}',
        b'{"documents": [{"text": "a"}]} x',
        b'{"documents": [{"text": "a"}]',
    ],
)
def test_invalid_json_is_malformed(body: bytes, pad: str) -> None:
    assert refusal(body + pad.encode()).code == "malformed_body"
    assert refusal(body + pad.encode()).code == "malformed_body"


def test_a_field_of_the_whole_message_is_named_in_a_large_body(pad: str) -> None:
    assert refusal(body_of([{"text": "x"}], pad, topic=1)).param == "topic"
    assert refusal(body_of([{"text": "x"}], pad, collection="a/b")).param == "collection"
    assert refusal((json.dumps({"documents": {}}) + pad).encode()).param == "documents"
    assert refusal((json.dumps({}) + pad).encode()).param == "documents"


def test_a_document_larger_than_any_can_be_is_refused_before_it_is_decoded() -> None:
    limits = RequestLimits(documents=10, text_chars=10, metadata_bytes=10, query_chars=10, top_k=1)
    error = refusal(body_of([{"text": "x"}, {"text": "x", "metadata": {"k": ["x"] * 40_000}}]), limits)
    assert (error.code, error.param) == ("limit_exceeded", "documents[1]")
    assert "bytes" in str(error)


NUMBERS = [
    "3.141592653589793238462643383279",
    "12345678901234567890.12",
    "1e-400",
    "0.10000000000000001",
    "1.0",
    "0.1",
    "1e5",
    "-0.0",
    "9007199254740993",
    "18446744073709551616",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_comes_back_as_the_number_that_was_sent(number: str, pad: str) -> None:
    body = f'{{"documents": [{{"text": "x", "metadata": {{"n" : {number}, "a": ["b" ]}}}}]}}{pad}'
    (document,) = read_ingest(body.encode(), LIMITS)[1]
    stored = json.loads(document.metadata, parse_float=str, parse_int=str)["n"]
    assert json.loads(document.metadata, parse_float=exactly)["n"] == json.loads(number, parse_float=exactly)
    if number in NUMBERS[:4]:
        assert stored == number


def exactly(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def test_of_two_values_of_one_name_the_last_is_stored() -> None:
    body = b'{"documents": [{"text": "x", "metadata": {"a": 1, "n": 0.10000000000000001, "a": 2}}]}'
    (document,) = read_ingest(body, LIMITS)[1]
    assert document.metadata == '{"a":2,"n":0.10000000000000001}'


def test_content_with_more_digits_is_other_content() -> None:
    hashes = {
        read_ingest(f'{{"documents": [{{"text": "x", "metadata": {{"n": {n}}}}}]}}'.encode(), LIMITS)[1][0].content_hash
        for n in ("0.1", "0.10000000000000001", "0.100000000000000001")
    }
    assert len(hashes) == 3


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=8)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
flat = plain | numbers | st.booleans() | st.none() | st.lists(plain | numbers, max_size=3)
values = flat | st.dictionaries(plain, flat | st.dictionaries(plain, flat, max_size=2), max_size=2)
documents = st.lists(
    st.fixed_dictionaries(
        {"text": plain.filter(lambda text: bool(text.strip()))},
        optional={"metadata": st.dictionaries(plain, values, max_size=3)},
    ),
    min_size=1,
    max_size=5,
)


@given(documents=documents, indent=st.sampled_from([None, 2]))
def test_a_body_reads_the_same_in_parts_and_as_a_whole(documents: list[Any], indent: int | None) -> None:
    body = json.dumps({"documents": documents}, indent=indent).encode()
    whole = read_ingest(body, LIMITS)[1]
    parts = read_ingest(body + PADDING.encode(), LIMITS)[1]
    assert [(d.text, d.metadata, d.content_hash) for d in whole] == [
        (d.text, d.metadata, d.content_hash) for d in parts
    ]


async def test_the_documents_hold_their_memory_for_as_long_as_they_are_there() -> None:
    budget = MemoryBudget(10_000_000, "TANDEM_SOMETHING")
    body = body_of([{"text": "x" * 90_000}] * 50)
    lease = budget.lease()
    lease.hold(len(body))
    _, documents = await IngestReader(LIMITS, timeout=30).read(body, lease)
    del lease
    assert 4_400_000 < budget.held < 4_700_000
    kept = documents[:1]
    del documents
    await eventually(lambda: asyncio.sleep(0, budget.held), lambda held: held == 0)
    assert len(kept) == 1


async def test_documents_that_take_more_memory_than_is_left_are_refused() -> None:
    # Each character takes four bytes in memory, because one of them is outside the basic plane.
    body = body_of([{"text": "\N{GRINNING FACE}" + "x" * 90_000}] * 20)
    budget = MemoryBudget(3_000_000, "TANDEM_SOMETHING")
    lease = budget.lease()
    lease.hold(len(body))
    said = ""
    try:
        await IngestReader(LIMITS, timeout=30).read(body, lease)
    except OverBudget as error:
        said = str(error)
    assert "TANDEM_SOMETHING" in said
    del lease
    # The thread that raised the error may hold it for a moment.
    await eventually(lambda: asyncio.sleep(0, budget.held), lambda held: held == 0)


async def test_large_bodies_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = 0
    most = 0

    def watched(*args: Any, **options: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        found = read_ingest(*args, **options)
        under_way -= 1
        return found

    monkeypatch.setattr(ingest_body, "read_ingest", watched)

    reader = IngestReader(LIMITS, timeout=30)
    body = body_of([{"text": "x"}] * 1000, PADDING)
    budget = MemoryBudget(10_000_000, "TANDEM_SOMETHING")
    await asyncio.gather(*(reader.read(body, budget.lease()) for _ in range(5)))
    assert most == 1


def test_the_decoded_types_are_those_of_the_contract() -> None:
    from tandem_contract.client_api import DocumentInput, IngestRequest

    for ours, contracts in ((DocumentMessage, DocumentInput), (ingest_body._Ingest, IngestRequest)):
        fields = {field.name: (field.default, field.required) for field in msgspec.structs.fields(ours)}
        wanted = {field.name: (field.default, field.required) for field in msgspec.structs.fields(contracts)}
        assert fields.keys() == wanted.keys()
        # A client leaves out what an older gateway would refuse; the gateway then takes its default.
        optional = {name for name, (default, _) in wanted.items() if default is msgspec.UNSET}
        assert not any(fields[name][1] for name in optional)
        assert all(fields[name] == wanted[name] for name in fields.keys() - optional - {"metadata"})


@pytest.mark.parametrize("number", ["1e-9999999999999999999", "0e99999999999999999999", "-0E-99999999999999999999"])
def test_a_number_with_an_exponent_beyond_any_is_kept_as_it_was_sent(number: str, pad: str) -> None:
    body = f'{{"documents": [{{"text": "x", "metadata": {{"k": {number}}}}}]}}{pad}'.encode()
    assert read_ingest(body, LIMITS)[1][0].metadata == f'{{"k":{number}}}'


def test_a_byte_order_mark_within_the_body_is_no_json(pad: str) -> None:
    body = b'{"documents": [\xef\xbb\xbf{"text": "x"}]}' + pad.encode()
    assert refusal(body).code == "malformed_body"
    assert read_ingest(b"\xef\xbb\xbf" + body_of([{"text": "x"}], pad), LIMITS)[1][0].text == "x"


@pytest.mark.parametrize("pad", ["", PADDING], ids=["whole", "in parts"])
def test_nested_metadata_keeps_every_digit_and_the_order_of_keys(pad: str) -> None:
    metadata = '{"z":{"n":0.10000000000000000001,"a":[1.5,"x",12345678901234567890.125],"e":{"f":1E5}},"a":null}'
    body = f'{{"documents": [{{"text": "x", "metadata": {metadata}}}]}}{pad}'.encode()
    assert read_ingest(body, LIMITS)[1][0].metadata == metadata


def test_nested_metadata_of_the_greatest_depth_is_taken() -> None:
    (document,) = read_ingest(body_of([{"text": "x", "metadata": {"a": {"b": {"c": {"d": 1}}}}}]), LIMITS)[1]
    assert document.metadata == '{"a":{"b":{"c":{"d":1}}}}'
