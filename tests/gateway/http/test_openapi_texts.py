"""The prose of the OpenAPI document: fields have the contract's descriptions, and no docstring's markup leaks."""

from typing import Any

import msgspec
import pytest

from tandem_contract.client_api import search
from tandem_gateway.http.openapi_texts import describe_fields, to_markdown
from tandem_gateway.use_cases.validation import RequestLimits
from tests.docs.field_texts import TABLE, field_texts, table
from tests.support.openapi import document

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=500, query_chars=30, top_k=9)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(LIMITS)


def test_a_field_has_the_string_below_it_on_one_line() -> None:
    texts = field_texts(search)
    assert texts["SearchRequest"]["offset"].startswith("Number of hits to skip: the hits of a search are the first")
    assert "\n" not in "".join(text for fields in texts.values() for text in fields.values())


def test_the_table_of_descriptions_is_that_of_the_contract() -> None:
    assert TABLE.read_bytes() == table(), "run: python -m tests.docs.field_texts"


def test_every_field_and_every_parameter_has_a_description(made: dict[str, Any]) -> None:
    without = [
        f"{kind}.{name}"
        for kind, schema in made["components"]["schemas"].items()
        for name, field in schema.get("properties", {}).items()
        if not field.get("description", "").strip()
    ]
    without += [
        f"{operation['operationId']}: {parameter['name']}"
        for operations in made["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description", "").strip()
    ]
    assert without == []


def test_an_inherited_field_has_the_description_of_its_class(made: dict[str, Any]) -> None:
    schemas = made["components"]["schemas"]
    assert schemas["NewKey"]["properties"]["expires_at"]["description"] == "Null for a key that does not expire."


def test_a_description_that_is_there_stays() -> None:
    schemas = {"KeyRequest": {"properties": {"name": {"description": "mine"}, "other": {}, "expires_in_seconds": {}}}}
    describe_fields(schemas)
    fields = schemas["KeyRequest"]["properties"]
    assert fields["name"] == {"description": "mine"}
    assert fields["other"] == {}
    assert fields["expires_in_seconds"]["description"].startswith("Life of the key")


def test_no_description_has_the_markup_of_docstrings(made: dict[str, Any]) -> None:
    assert "``" not in msgspec.json.encode(made).decode()


def test_markdown_is_made_in_descriptions_only() -> None:
    value = {
        "responses": {"default": {"description": "a ``b``"}},
        "properties": {"description": {"type": "string", "description": "``c``", "default": "``d``"}},
        "examples": {"x": {"value": {"description": "``e``"}}},
    }
    to_markdown(value)
    assert value == {
        "responses": {"default": {"description": "a `b`"}},
        "properties": {"description": {"type": "string", "description": "`c`", "default": "``d``"}},
        "examples": {"x": {"value": {"description": "``e``"}}},
    }


def test_every_response_has_its_headers(made: dict[str, Any]) -> None:
    known = made["components"]["headers"].keys()
    for path, operations in made["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                names = response["headers"].keys()
                assert "x-request-id" in names, path
                assert ("retry-after" in names) == (status in ("429", "503")), path
                assert {
                    each["$ref"].rpartition("/")[2] for each in response["headers"].values() if "$ref" in each
                } <= known
    embed = {
        path
        for path, operations in made["paths"].items()
        for operation in operations.values()
        for response in operation["responses"].values()
        if "tandem-truncated-inputs" in response["headers"]
    }
    assert {"/v1/embeddings", "/api/embed", "/api/embeddings", "/embed"} <= embed
    assert not {"/v1/search", "/v1/models", "/api/tags", "/info"} & embed
