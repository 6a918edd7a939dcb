"""The patterns of the OpenAPI document match the validation."""

import itertools
import re

from tandem_gateway.http import openapi_schemas
from tandem_gateway.use_cases.validation import has_dot_segment


def test_the_pattern_of_a_blank_text_knows_each_white_space_of_validation() -> None:
    pattern = re.compile(openapi_schemas._NOT_BLANK)
    wrong = [code for code in range(0x110000) if bool(pattern.search(chr(code))) == chr(code).isspace()]
    assert wrong == []


def test_the_pattern_of_dot_segments_matches_the_ids_that_validation_refuses() -> None:
    pattern = re.compile(openapi_schemas._DOT_SEGMENT)
    parts = ["a", ".", "/", "\\", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C"]
    ids = ["".join(chosen) for length in range(1, 5) for chosen in itertools.product(parts, repeat=length)]
    assert [doc_id for doc_id in ids if bool(pattern.search(doc_id)) != has_dot_segment(doc_id)] == []
