"""The embedder's OpenAPI document keeps to the contract and to the settings."""

import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tandem_contract import embed, errors, headers
from tandem_embedder.settings import Settings
from tandem_runtime.replies import STATUS

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads((REPOSITORY / "docs" / "embedder-openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
STRUCTS = [embed.EmbedRequest, embed.Chunking, embed.EmbedReply, embed.PackedEmbedReply, embed.ReadyReply]
OPERATION = DOCUMENT["paths"][embed.PATH]["post"]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_the_fields_are_those_of_the_contract(struct: type[msgspec.Struct]) -> None:
    schema, fields = SCHEMAS[struct.__name__], msgspec.structs.fields(struct)
    assert list(schema["properties"]) == [field.name for field in fields]
    assert schema.get("required", []) == [field.name for field in fields if field.required]
    forbids = struct.__struct_config__.forbid_unknown_fields
    assert schema.get("additionalProperties", True) is not forbids


def test_the_defaults_and_values_are_those_of_the_contract() -> None:
    for struct in (embed.EmbedRequest, embed.Chunking):
        for field in msgspec.structs.fields(struct):
            schema = SCHEMAS[struct.__name__]["properties"][field.name]
            if field.default not in (msgspec.NODEFAULT, msgspec.UNSET):
                assert schema["default"] == field.default
    request = SCHEMAS["EmbedRequest"]["properties"]
    assert request["kind"]["enum"] == list(get_args(embed.Kind))
    assert request["priority"]["enum"] == list(get_args(embed.Priority))
    assert SCHEMAS["Chunking"]["properties"]["format"]["enum"] == list(get_args(embed.TextFormat))
    error = SCHEMAS["ErrorReply"]["properties"]["error"]["properties"]
    assert list(error) == [field.name for field in msgspec.structs.fields(errors.ErrorBody)]
    assert error["type"]["enum"] == list(get_args(errors.ErrorType))
    assert error["code"]["enum"] == list(get_args(errors.ErrorCode))


def test_the_limits_are_those_of_the_contract_and_the_settings() -> None:
    settings = Settings()
    texts = SCHEMAS["EmbedRequest"]["properties"]["texts"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (settings.max_client_batch_size, settings.max_text_chars)
    assert f"{settings.max_body_bytes:,} bytes" in OPERATION["description"]
    assert f"is {settings.embed_timeout:.0f} seconds" in OPERATION["parameters"][0]["description"]
    assert OPERATION["parameters"][0]["name"] == headers.TIMEOUT_MS
    assert SCHEMAS["Chunking"]["properties"]["max_tokens"]["minimum"] == embed.MIN_PASSAGE_TOKENS
    assert f"{embed.MAX_READY_BYTES:,} bytes" in DOCUMENT["paths"][embed.READY_PATH]["get"]["description"]
    for name in ("EmbedReply", "PackedEmbedReply"):
        reply = SCHEMAS[name]["properties"]
        assert reply["dim"]["maximum"] == embed.MAX_DIM
        assert reply["model"]["maxLength"] == reply["fingerprint"]["maxLength"] == embed.MAX_NAME_CHARS
        assert reply["passages"]["maxItems"] == embed.MAX_PASSAGES
    assert len(SCHEMAS["Passage"]["prefixItems"]) == len(msgspec.structs.fields(embed.Passage))


def test_the_routes_encodings_errors_and_version() -> None:
    assert set(DOCUMENT["paths"]) == {embed.PATH, embed.READY_PATH, "/livez", "/metrics"}
    encodings = {headers.JSON, headers.MSGPACK}
    assert set(OPERATION["requestBody"]["content"]) == set(OPERATION["responses"]["200"]["content"]) == encodings
    assert OPERATION["security"] == [{"token": []}]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert DOCUMENT["info"]["version"] == project["version"]
    for status, response in DOCUMENT["components"]["responses"].items():
        assert {STATUS[code] for code in _codes(response)} == {int(status)}


def _codes(response: dict[str, Any]) -> list[errors.ErrorCode]:
    words = response["description"].partition(": ")[2].rstrip(".").replace(",", " ").split()
    return [word for word in words if word != "or"]
