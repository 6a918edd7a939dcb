"""The OpenAPI document: its patterns match the validation, and each document of a process is the same."""

import itertools
import re

from tandem_gateway.http import openapi_schemas
from tandem_gateway.use_cases.validation import RequestLimits, has_dot_segment
from tests.support.openapi import document

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)


def test_the_pattern_of_a_blank_text_knows_each_white_space_of_validation() -> None:
    pattern = re.compile(openapi_schemas._NOT_BLANK)
    wrong = [code for code in range(0x110000) if bool(pattern.search(chr(code))) == chr(code).isspace()]
    assert wrong == []


def test_the_pattern_of_dot_segments_matches_the_ids_that_validation_refuses() -> None:
    pattern = re.compile(openapi_schemas._DOT_SEGMENT)
    parts = ["a", ".", "/", "\\", "%2e", "%2E", "%2f", "%2F", "%5c", "%5C"]
    ids = ["".join(chosen) for length in range(1, 5) for chosen in itertools.product(parts, repeat=length)]
    assert [doc_id for doc_id in ids if bool(pattern.search(doc_id)) != has_dot_segment(doc_id)] == []


def test_a_field_has_its_own_description_alone_also_in_the_next_document_of_the_process() -> None:
    first = document(LIMITS)
    similar = first["components"]["schemas"]["SimilarRequest"]

    assert document(LIMITS) == first
    assert similar["properties"]["document_id"]["description"].startswith("The hits are the documents nearest")
    # Fields with the same rules have one schema, and the text of one of them must not be that of all.
    assert "number stands" not in str(similar["allOf"])
    assert "number stands" not in str(similar["properties"]["document_id"]["anyOf"])
