"""Columns agree with the predicate on the metadata of each passage."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.filters.columns import Columns
from tandem_gateway.http.filters import read_filter
from tests.gateway.filters.strategies import FILTERS, METADATA, expected


@given(st.lists(METADATA, max_size=12), st.sets(st.integers(0, 11)), st.lists(METADATA, max_size=4), FILTERS)
def test_columns_agree_with_the_predicate_before_and_after_removals(
    first: list[dict[str, Any]], removed: set[int], later: list[dict[str, Any]], condition: dict[str, Any]
):
    columns = Columns()
    held = {10 * place: metadata for place, metadata in enumerate(first)}
    parsed = read_filter(json.dumps(condition).encode())
    for passage_id, metadata in held.items():
        columns.add(passage_id, json.dumps(metadata))
    assert columns.matching(parsed).tolist() == [each for each in held if expected(condition, held[each])]
    columns.remove([10 * place for place in removed])
    columns.remove([5, *(10 * place for place in removed)])
    held = {each: metadata for each, metadata in held.items() if each // 10 not in removed}
    for place, metadata in enumerate(later):
        held[1000 + place] = metadata
        columns.add(1000 + place, json.dumps(metadata))
    assert columns.matching(parsed).tolist() == [each for each in held if expected(condition, held[each])]
    assert len(columns) == len(held)


def test_columns_in_which_most_passages_are_removed_are_worn():
    columns = Columns()
    for passage_id in range(2500):
        columns.add(passage_id, f'{{"n":{passage_id}}}')
    columns.remove(range(1250))
    assert not columns.is_worn
    columns.remove([1250])
    assert columns.is_worn


def test_the_estimated_size_grows_with_values_and_not_with_repetitions():
    alike, different = Columns(), Columns()
    for passage_id in range(100):
        alike.add(passage_id, '{"a":"x","t":["y"]}')
        different.add(passage_id, f'{{"a":"{passage_id}","t":["{passage_id}"]}}')
    assert alike.bytes < different.bytes / 5
