"""What clients are told: the table of errors, and the OpenAPI document, which is that of the routes."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from litestar import Request
from openapi_spec_validator import validate

from tandem_contract.errors import ErrorReply
from tandem_contract.service.replies import STATUS
from tandem_gateway import errors
from tandem_gateway.http import openapi
from tandem_gateway.http.errors import CODES, on_gateway_error, on_unexpected
from tandem_gateway.http.routes import routes
from tandem_gateway.service import Gateway

REQUEST = cast(Request[Any, Any, Any], None)
# Met at the start alone, never by a request.
NEVER_AT_THE_EDGE = (errors.SnapshotUnusable, errors.StorageInUse)
# For machines that run the gateway, not for its clients.
NOT_OF_THE_CLIENT_API = {"/livez", "/readyz", "/metrics", "/openapi.json"}


def leaves(kind: type[errors.GatewayError] = errors.GatewayError) -> Iterator[type[errors.GatewayError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


def made(kind: type[errors.GatewayError]) -> errors.GatewayError:
    if kind is errors.FingerprintMismatch:
        return errors.FingerprintMismatch("books", pinned="a", offered="b")
    if kind in (errors.InvalidRequest, errors.NotFound):
        return kind("what is wrong", param="the.field")  # type: ignore[call-arg]
    return kind("what is wrong")


def test_every_error_of_the_domain_has_a_code():
    met = {kind for kind in leaves() if not issubclass(kind, NEVER_AT_THE_EDGE)}
    assert {*CODES, errors.InvalidRequest} == met


@pytest.mark.parametrize("kind", sorted(leaves(), key=lambda kind: kind.__name__))
def test_every_error_of_the_domain_is_answered_in_the_one_shape(kind: type[errors.GatewayError]):
    error = made(kind)
    response = on_gateway_error(REQUEST, error)
    reply = msgspec.json.decode(response.content, type=ErrorReply).error
    assert response.status_code == STATUS[reply.code]
    assert reply.message == str(error)
    assert (reply.code == "internal") == issubclass(kind, NEVER_AT_THE_EDGE)
    assert ("retry-after" in response.headers) == (response.status_code in (429, 503))


def test_an_invalid_request_brings_its_code_and_its_field():
    error = errors.InvalidRequest("top_k: too large", param="top_k", code="limit_exceeded")
    reply = msgspec.json.decode(on_gateway_error(REQUEST, error).content, type=ErrorReply).error
    assert (reply.code, reply.param) == ("limit_exceeded", "top_k")


def test_the_embedders_own_wait_is_passed_on():
    response = on_gateway_error(REQUEST, errors.EmbedderUnavailable("it starts", retry_after=7.2))
    assert response.headers["retry-after"] == "8"


def test_an_unexpected_error_tells_nothing_of_itself():
    response = on_unexpected(REQUEST, KeyError("a secret"))
    reply = msgspec.json.decode(response.content, type=ErrorReply).error
    assert (response.status_code, reply.code) == (500, "internal")
    assert "secret" not in reply.message


def described() -> set[tuple[str, str]]:
    paths = openapi.document()["paths"]
    return {(method, path) for path, operations in paths.items() for method in operations}


def routed() -> set[tuple[str, str]]:
    found = set()
    for handler in routes(cast(Gateway, None), 1024):
        for path in handler.paths:
            plain = path.replace(":str}", "}").replace("{document_id:path}", "{document_id}")
            found |= {(method.lower(), plain) for method in handler.http_methods if method not in ("HEAD", "OPTIONS")}
    return found


def test_the_openapi_document_is_a_valid_one():
    document = msgspec.json.decode(msgspec.json.encode(openapi.document()))
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_the_openapi_document_describes_the_routes_of_the_client_api_and_no_others():
    assert described() == {(method, path) for method, path in routed() if path not in NOT_OF_THE_CLIENT_API}
    assert {path for _, path in routed()} >= NOT_OF_THE_CLIENT_API


def test_every_path_parameter_and_every_reference_of_the_document_is_defined():
    document = openapi.document()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {parameter["name"] for parameter in operation.get("parameters", [])} == {
                part[1:-1] for part in path.split("/") if part.startswith("{")
            }
    text = msgspec.json.encode(document).decode()
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    assert {"ErrorReply", "Job", "SearchReply", "IngestRequest"} <= names


def test_operation_ids_are_all_different():
    operations = [entry for paths in openapi.document()["paths"].values() for entry in paths.values()]
    ids = [entry["operationId"] for entry in operations]
    assert len(set(ids)) == len(ids) == 8
