"""What the filter language takes and refuses; each error names the place."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.parsing import (
    MAX_BYTES,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_FIELD_CHARS,
    MAX_LISTED,
    parse_filter,
)
from tandem_gateway.filters.tree import Both, Contains, Either, Equals, Exists, Not, Ordered
from tandem_gateway.http.filters import read_filter


def test_a_filter_becomes_a_tree():
    assert read_filter(b'{"year": {"$gte": 1960, "$lt": 1970.5}, "lang": "en", "tags": {"$contains": "pets"}}') == Both(
        (
            Both((Ordered("year", "$gte", 1960), Ordered("year", "$lt", Decimal("1970.5")))),
            Equals("lang", frozenset([("string", "en")])),
            Contains("tags", ("string", "pets")),
        )
    )
    assert read_filter(b'{"$or": [{"a": null}, {"$not": {"b.c": true}}]}') == Either(
        (Equals("a", frozenset([("null", None)])), Not(Equals("b.c", frozenset([("boolean", True)]))))
    )
    assert read_filter(b'{"a": {"$not": {"$exists": false}}}') == Not(Not(Exists("a")))
    assert read_filter(b"{}") == Both(())


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ("[]", "filter", "invalid_field"),
        ("null", "filter", "invalid_field"),
        ('"lang"', "filter", "invalid_field"),
        ('{"year": {"$gte": null}}', "filter.year.$gte", "invalid_field"),
        ('{"year": {"$lt": true}}', "filter.year.$lt", "invalid_field"),
        ('{"year": {"$lt": [1]}}', "filter.year.$lt", "invalid_field"),
        ('{"year": {"$ge": 1}}', "filter.year.$ge", "unknown_field"),
        ('{"year": {}}', "filter.year", "invalid_field"),
        ('{"year": [1]}', "filter.year", "invalid_field"),
        ('{"a": {"b": 1}}', "filter.a.b", "unknown_field"),
        ('{"a": {"$eq": {"b": 1}}}', "filter.a.$eq", "invalid_field"),
        ('{"a": {"$ne": [1]}}', "filter.a.$ne", "invalid_field"),
        ('{"a": {"$in": 1}}', "filter.a.$in", "invalid_field"),
        ('{"a": {"$nin": [1, []]}}', "filter.a.$nin[1]", "invalid_field"),
        ('{"a": {"$exists": 1}}', "filter.a.$exists", "invalid_field"),
        ('{"a": {"$not": 1}}', "filter.a.$not", "invalid_field"),
        ('{"a": {"$not": {"$x": 1}}}', "filter.a.$not.$x", "unknown_field"),
        ('{"$gte": 5}', "filter.$gte", "unknown_field"),
        ('{"$and": {}}', "filter.$and", "invalid_field"),
        ('{"$or": []}', "filter.$or", "invalid_field"),
        ('{"$and": [{"a": 1}, {"$or": [{"b": {"$gt": false}}]}]}', "filter.$and[1].$or[0].b.$gt", "invalid_field"),
        ('{"$not": [1]}', "filter.$not", "invalid_field"),
        ('{"a": 1e400}', "filter.a", "invalid_field"),
        ('{"a": {"$in": [-1e309]}}', "filter.a.$in[0]", "invalid_field"),
        ('{"a": 1, "a": 2}', "filter", "invalid_field"),
        ('{"a": {"$gt": 1, "$gt": 2}}', "filter", "invalid_field"),
        ("x" * (MAX_BYTES + 1), "filter", "limit_exceeded"),
        (json.dumps({"a" * (MAX_FIELD_CHARS + 1): 1}), f"filter.{'a' * 200}... (513 characters)", "limit_exceeded"),
        (json.dumps({"a": {"$in": [1] * (MAX_LISTED + 1)}}), "filter.a.$in", "limit_exceeded"),
        (json.dumps({"$or": [{}] * (MAX_CONDITIONS + 1)}), "filter.$or", "limit_exceeded"),
        (json.dumps({f"f{n}": n for n in range(MAX_CONDITIONS + 1)}), "filter", "limit_exceeded"),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_its_place(body: str, param: str, code: str):
    with pytest.raises(InvalidRequest) as caught:
        read_filter(body.encode())
    assert (caught.value.param, caught.value.code) == (param, code)
    assert str(caught.value).startswith(f"{param}: ")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 100_00])
def test_what_is_no_json_is_refused(body: bytes):
    with pytest.raises(InvalidRequest) as caught:
        read_filter(body)
    assert str(caught.value.param).startswith("filter")


def nested(depth: int, operator: str) -> Any:
    found: Any = {"a": {"$gt": 1}}
    for _ in range(depth):
        found = {operator: found if operator == "$not" else [found]}
    return found


@pytest.mark.parametrize("operator", ["$not", "$and", "$or"])
def test_the_depth_has_a_limit(operator: str):
    parse_filter(nested(MAX_DEPTH, operator))
    with pytest.raises(InvalidRequest, match="10") as caught:
        parse_filter(nested(MAX_DEPTH + 1, operator))
    assert caught.value.code == "limit_exceeded"
    inside: Any = {"$gt": 1}
    for _ in range(MAX_DEPTH + 1):
        inside = {"$not": inside}
    with pytest.raises(InvalidRequest, match="10"):
        parse_filter({"a": inside})


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(["a", "$and", "$or", "$not", "$in", "$gt", "$exists", "$eq", "a.b"])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@given(anything)
def test_any_json_is_a_filter_or_is_refused_with_a_place_inside_it(body: Any):
    place = ""
    try:
        read_filter(json.dumps(body).encode())
    except InvalidRequest as refused:
        place = refused.param
    assert place == "" or place.startswith("filter")
