"""What a filter matches, case by case and against an independent predicate over random metadata."""

import json
from typing import Any

import pytest
from hypothesis import given

from tandem_gateway.filters.matching import matches_json
from tandem_gateway.http.filters import read_filter
from tests.gateway.filters.strategies import FILTERS, METADATA, expected


def matches(condition: str, metadata: str) -> bool:
    return matches_json(read_filter(condition.encode()), metadata)


@given(FILTERS, METADATA)
def test_a_filter_agrees_with_the_predicate(condition: dict[str, Any], metadata: dict[str, Any]):
    assert matches(json.dumps(condition), json.dumps(metadata)) == expected(condition, metadata)


@pytest.mark.parametrize(
    ("condition", "metadata", "fits"),
    [
        ("{}", "{}", True),
        ('{"a": 1}', '{"a": 1}', True),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": {"$in": [1, "x"]}}', '{"a": true}', False),
        ('{"a": null}', '{"a": null}', True),
        ('{"a": null}', "{}", False),
        ('{"a": {"$ne": null}}', "{}", True),
        ('{"a": {"$ne": 1}}', "{}", True),
        ('{"a": {"$nin": [1]}}', "{}", True),
        ('{"a": {"$exists": false}}', "{}", True),
        ('{"a": {"$exists": true}}', '{"a": null}', True),
        ('{"a": {"$gt": 0}}', "{}", False),
        ('{"a": {"$lt": "x"}}', "{}", False),
        ('{"a": {"$in": []}}', '{"a": 1}', False),
        ('{"a": {"$nin": []}}', '{"a": 1}', True),
        ('{"a": {"$gt": 0}}', '{"a": true}', False),
        ('{"a": {"$gt": "0"}}', '{"a": 1}', False),
        ('{"d": {"$gte": "2024-01-01T00:00:00Z", "$lt": "2025"}}', '{"d": "2024-06-01T12:00:00Z"}', True),
        ('{"tags": {"$contains": "pets"}}', '{"tags": ["pets", "prose"]}', True),
        ('{"tags": {"$contains": "pets"}}', '{"tags": "pets"}', False),
        ('{"tags": "pets"}', '{"tags": ["pets"]}', False),
        ('{"n": {"$contains": 2}}', '{"n": [1, 2.0]}', True),
        ('{"n": {"$contains": "2"}}', '{"n": [1, 2]}', False),
        ('{"a.b": 1}', '{"a": {"b": 1}}', True),
        ('{"a.b": 1}', '{"a.b": 1}', True),
        ('{"a.b": 1}', '{"a.b": 2, "a": {"b": 1}}', False),
        ('{"a.b.c": 1}', '{"a.b": {"c": 1}}', True),
        ('{"a.b.c": 1}', '{"a": {"b.c": 1}}', True),
        ('{"a.b.c": 1}', '{"a.b": {"d": 2}, "a": {"b": {"c": 1}}}', True),
        ('{"a.0": "x"}', '{"a": ["x"]}', False),
        ('{"a": {"$eq": 9007199254740993}}', '{"a": 9007199254740992}', False),
        ('{"a": {"$gt": 9007199254740992.0}}', '{"a": 9007199254740993}', True),
        ('{"a": 12345678901234567890.125}', '{"a": 12345678901234567890.126}', False),
        ('{"a": 12345678901234567890.125}', '{"a": 12345678901234567890.1250}', True),
        ('{"a": {"$lt": 1e-300}}', '{"a": 1e-99999999999999999999}', True),
        ('{"a": 0.1}', '{"a": 1e-1}', True),
        ('{"a": 0}', '{"a": -0.0}', True),
        ('{"a": {"$not": {"$gt": 1}}}', "{}", True),
        ('{"s": {"$gt": "\ufffd"}}', '{"s": "\U0001f600"}', True),
    ],
)  # fmt: skip
def test_a_filter_matches_exactly(condition: str, metadata: str, fits: bool):
    assert matches(condition, metadata) == fits
