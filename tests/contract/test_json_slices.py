"""The split of a large JSON body at an array's elements never accepts invalid JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime import json_slices
from tandem_runtime.json_slices import ArraySlices, find_array

MANY = 1 << 30

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
awkward_text = st.text(alphabet='ab\\"[]{},: \n\u00e9\U0001f600', max_size=12)
values = st.recursive(
    scalars | awkward_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(awkward_text, inner, max_size=4),
    max_leaves=12,
)
names = awkward_text.filter(lambda name: name != "documents")
bodies = st.fixed_dictionaries({"documents": st.lists(values, max_size=8)}).flatmap(
    lambda fixed: st.dictionaries(names, values, max_size=3).map(lambda more: {**more, **fixed})
)


@pytest.fixture(autouse=True, params=[1, 7, 1 << 18], ids=lambda size: f"blocks of {size}")
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_slices, "_BLOCK_BYTES", request.param)


def decode_in_parts(body: bytes, slices: ArraySlices) -> Any:
    message = msgspec.json.decode(slices.rest(body))
    assert message["documents"] == []
    message["documents"] = [msgspec.json.decode(slices.element(body, i)) for i in range(slices.count(body))]
    return message


@given(message=bodies, indent=st.sampled_from([None, 0, 3]), ascii_only=st.booleans())
def test_the_parts_are_the_whole(message: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(message, indent=indent, ensure_ascii=ascii_only).encode()
    slices = find_array(body, "documents", MANY)
    assert slices is not None
    assert not slices.too_many
    assert decode_in_parts(body, slices) == message


@given(message=bodies, data=st.data())
def test_json_that_is_invalid_as_a_whole_is_invalid_in_parts(message: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(json.dumps(message).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", *b'\\"[]{},:x']).map(as_bytes)
        )
        if not body:
            return
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = None
    slices = find_array(bytes(body), "documents", MANY)
    if slices is None:
        return
    try:
        parts = decode_in_parts(bytes(body), slices)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parts = None
    if whole is None:
        assert parts is None
    elif parts is not None:
        assert parts == whole


def as_bytes(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else bytes([value])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_too_many_elements_are_noticed_and_enough_are_not(count: int) -> None:
    body = b'{"documents": [%s], "collection": "x"}' % b" , ".join([b'{"text": "a"}'] * count)
    slices = find_array(body, "documents", 3)
    assert slices is not None
    assert slices.too_many == (count > 3)
    if count <= 3:
        assert slices.count(body) == count


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[[1, 2]]",
        b'{"collection": "documents"}',
        b'{"documents": {"a": [1]}}',
        b'{"documents": 1, "other": [1]}',
        b'{"x": {"documents": [1]}}',
        b'{"docu\\u006dents": [1]}',
        b'{"x\\"documents": [1]}',
    ],
)
def test_only_the_fields_own_array_is_found(body: bytes) -> None:
    found = find_array(body, "documents", MANY)
    assert found is None


def test_of_two_arrays_of_one_name_the_last_is_found() -> None:
    body = b'{"documents": [1], "documents": [2, 3]}'
    slices = find_array(body, "documents", MANY)
    assert slices is not None
    assert [slices.element(body, i) for i in range(slices.count(body))] == [b"2", b" 3"]


@pytest.mark.parametrize("body", [b'{"documents": [1, 2', b'{"documents": [', b'{"documents": [{]}'])
def test_an_array_without_an_end_leaves_a_rest_that_is_no_json(body: bytes) -> None:
    slices = find_array(body, "documents", MANY)
    assert slices is not None
    with pytest.raises(msgspec.DecodeError):
        decode_in_parts(body, slices)
