"""The table of errors covers every error, and the OpenAPI document describes the actual routes."""

from collections.abc import Iterator

import msgspec
import pytest
from openapi_spec_validator import validate

from tandem_contract.errors import ErrorReply
from tandem_gateway import errors
from tandem_gateway.http.errors import CODES, reply_to
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.http import Reply
from tandem_runtime.replies import STATUS
from tests.support.openapi import described_app, document

# Only a startup meets these, or another error replaces them: no request gets them.
NEVER_AT_THE_EDGE = (errors.SnapshotUnusable, errors.StorageInUse, errors.TooManyBytes, errors.VectorsGone)
LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=50, query_chars=30, top_k=9)


def leaves(kind: type[errors.GatewayError] = errors.GatewayError) -> Iterator[type[errors.GatewayError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


def made(kind: type[errors.GatewayError]) -> errors.GatewayError:
    if kind is errors.FingerprintMismatch:
        return errors.FingerprintMismatch("books", pinned="a", offered="b")
    if kind in (errors.InvalidRequest, errors.NotFound, errors.Conflict):
        return kind("what is wrong", param="the.field")  # type: ignore[call-arg]
    if kind is errors.RateLimited:
        return errors.RateLimited("what is wrong", param="requests", retry_after=2.5)
    return kind("what is wrong")


def headers_of(reply: Reply) -> dict[bytes, bytes]:
    return dict(reply.headers)


def test_every_error_of_the_domain_has_a_code():
    met = {kind for kind in leaves() if not issubclass(kind, NEVER_AT_THE_EDGE)}
    assert {*CODES, errors.InvalidRequest} == met


@pytest.mark.parametrize("kind", sorted(leaves(), key=lambda kind: kind.__name__))
def test_every_error_of_the_domain_is_answered_in_the_one_shape(kind: type[errors.GatewayError]):
    error = made(kind)
    response = reply_to(error)
    reply = msgspec.json.decode(response.body, type=ErrorReply).error
    assert response.status == STATUS[reply.code]
    assert reply.message == str(error)
    assert (reply.code == "internal") == issubclass(kind, NEVER_AT_THE_EDGE)
    assert (b"retry-after" in headers_of(response)) == (response.status in (429, 503))


def test_an_invalid_request_brings_its_code_and_its_field():
    error = errors.InvalidRequest("top_k: too large", param="top_k", code="limit_exceeded")
    reply = msgspec.json.decode(reply_to(error).body, type=ErrorReply).error
    assert (reply.code, reply.param) == ("limit_exceeded", "top_k")


def test_the_embedders_own_wait_is_passed_on():
    response = reply_to(errors.EmbedderUnavailable("it starts", retry_after=7.2))
    assert headers_of(response)[b"retry-after"] == b"8"


def test_an_unexpected_error_reveals_no_detail():
    response = reply_to(KeyError("a secret"))
    reply = msgspec.json.decode(response.body, type=ErrorReply).error
    assert (response.status, reply.code) == (500, "internal")
    assert "secret" not in reply.message


def described() -> set[tuple[str, str]]:
    paths = document(LIMITS)["paths"]
    return {(method, path) for path, operations in paths.items() for method in operations}


def routed() -> set[tuple[str, str]]:
    return {
        (method.lower(), route.template.replace(":path}", "}"))
        for route in ExactPaths(described_app(LIMITS).routes)
        for method in route.methods
    }


def test_the_openapi_document_is_a_valid_one():
    made = msgspec.json.decode(msgspec.json.encode(document(LIMITS)))
    validate(made)
    assert made["openapi"].startswith("3.1")


def test_the_openapi_document_describes_every_route_but_its_own():
    own = {("get", path) for path in ("/openapi.json", "/docs", "/docs/rapidoc-min.js")}
    assert own <= routed()
    assert described() == routed() - own


def test_the_openapi_document_has_the_limits_in_force():
    schemas = document(LIMITS)["components"]["schemas"]
    search, ingest = schemas["SearchRequest"]["properties"], schemas["IngestRequest"]["properties"]
    assert (search["query"]["maxLength"], search["top_k"]["minimum"], search["top_k"]["maximum"]) == (30, 1, 9)
    assert (ingest["documents"]["minItems"], ingest["documents"]["maxItems"]) == (1, 7)
    assert schemas["DocumentInput"]["properties"]["text"]["maxLength"] == 100


def test_every_path_parameter_and_every_reference_of_the_document_is_defined():
    made = document(LIMITS)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            in_path = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "path"]
            assert {parameter["name"] for parameter in in_path} == {
                part[1:-1] for part in path.split("/") if part.startswith("{")
            }
    text = msgspec.json.encode(made).decode()
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(made["components"]["schemas"])
    assert {"ErrorReply", "Job", "SearchReply", "IngestRequest"} <= names


def test_operation_ids_are_all_different():
    operations = [entry for paths in document(LIMITS)["paths"].values() for entry in paths.values()]
    ids = [entry["operationId"] for entry in operations]
    assert len(set(ids)) == len(ids) == 58
