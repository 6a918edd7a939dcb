"""The gateway's use of Litestar: strict bodies, one format of errors, and no effect of the environment."""

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec
import pytest
from litestar import Request, get, post
from litestar.datastructures import UploadFile
from litestar.exceptions import (
    NotAuthorizedException,
    PermissionDeniedException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody, QueryParameter
from litestar.response import ServerSentEvent
from litestar.types import ControllerRouterHandler

from tandem_contract.client_api import IngestRequest, SearchRequest
from tandem_contract.errors import ErrorReply
from tandem_gateway.errors import Overloaded
from tandem_gateway.http.admin import operator_guard
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.exact_paths import QUERY
from tandem_gateway.http.litestar_app import strict_litestar
from tandem_gateway.http.openapi_operations import INGEST_EXAMPLES, SEARCH_EXAMPLES
from tandem_gateway.lifecycle import Gateway
from tandem_runtime.body import cancel_on_disconnect
from tests.gateway.http.asking import LIMITS, Answer, Point, ask
from tests.support.openapi import described_app

TOKEN = "a-token"


class Line(msgspec.Struct, forbid_unknown_fields=True):
    points: list[Point]


@dataclass
class Form:
    file: UploadFile


@post("/lines", status_code=200, request_max_body_size=10_000)
async def lines(data: JSONBody[Line]) -> Line:
    return data


@post("/forms", status_code=200, dto=None, request_max_body_size=2000)
async def forms(data: MultipartBody[Form]) -> Point:
    return Point(len(await data.file.read()))


@get("/numbers", opt={QUERY: ("n", "m")})
async def numbers(n: Annotated[int, QueryParameter(ge=1)], m: FromQuery[int] = 0) -> Point:
    return Point(n + m)


@get("/events")
async def events() -> ServerSentEvent:
    async def two() -> AsyncIterator[dict[str, Any]]:
        for number in range(2):
            yield {"event": "number", "data": str(number)}

    return ServerSentEvent(two())


@get("/guarded", guards=[operator_guard(TOKEN, cast(Gateway, None))])
async def guarded() -> Point:
    return Point(1)


RAISED: dict[str, Exception] = {
    "unexpected": KeyError("a secret"),
    "overloaded": Overloaded("full", retry_after=3.0),
    "no user": NotAuthorizedException(),
    "no right": PermissionDeniedException(),
    "too many": TooManyRequestsException(),
    "not now": ServiceUnavailableException(),
    "text": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a secret"),
}


@get("/raises/{what:str}")
async def raises(what: FromPath[str]) -> str:
    raise RAISED[what]


HANDLERS: Sequence[ControllerRouterHandler] = (lines, forms, numbers, events, guarded, raises)


async def answer(method: str, target: str, body: bytes = b"", *arguments: Any) -> Answer:
    found = await ask(strict_litestar(HANDLERS, {}), method, target, body, *arguments)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"points": [{"x": 1}, {"x": "2"}]}', (422, "invalid_field", "points[1].x")),
        (b'{"points": [{"x": 1.0}]}', (422, "invalid_field", "points[0].x")),
        (b'{"points": [{"x": true}]}', (422, "invalid_field", "points[0].x")),
        (b'{"points": [{"x": 1, "y": 2}]}', (422, "unknown_field", "points[0].y")),
        (b'{"points": [{}]}', (422, "missing_field", "points[0].x")),
        (b'{"points": [{"x": 1, "name": "\\ud800"}]}', (400, "invalid_encoding", "points[0].name")),
        (b'{"points": [{"x": 1, "name": "\xff"}]}', (400, "invalid_encoding", None)),
        (b'{"points": ' + b"[" * 5000, (422, "invalid_field", "points[0]")),
        (b"[" * 5000, (422, "invalid_field", None)),
        (b"{", (400, "malformed_body", None)),
        (b"", (400, "malformed_body", None)),
        (b" " * 10_001, (413, "body_too_large", "body")),
    ],
)
async def test_a_body_is_decoded_strictly(body: bytes, expected: tuple[int, str, str | None]) -> None:
    assert (await answer("POST", "/lines", body)).error == expected


async def test_a_body_that_is_right_is_the_handlers_argument() -> None:
    found = await answer("POST", "/lines", b'\xef\xbb\xbf{"points": [{"x": 1}]}')
    assert (found.status, found.body) == (200, b'{"points":[{"x":1,"name":null}]}')


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/msgpack"]
)
async def test_a_body_of_another_type_is_refused(content_type: str | None) -> None:
    found = await answer("POST", "/lines", b'{"points": []}', content_type)
    assert found.error == (415, "unsupported_media_type", "content-type")


PART = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\nContent-Type: %s\r\n\r\n%s\r\n--x--\r\n'


MULTIPART = "multipart/form-data; boundary=x"


async def test_a_form_is_read() -> None:
    found = await answer("POST", "/forms", PART % (b"file", b"text/plain", b"four"), MULTIPART)
    assert (found.status, found.body) == (200, b'{"x":4,"name":null}')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PART % (b"other", b"text/plain", b"four"), (422, "missing_field", "file")),
        (PART % (b"file", b"text/plain", b"x" * 2000), (413, "body_too_large", "body")),
        (
            b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n\xff\xfe\r\n--x--\r\n',
            (400, "invalid_encoding", "body"),
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="n"\r\nContent-Type: a/b; charset=none\r\n\r\na\r\n--x--\r\n',
            (400, "invalid_encoding", "body"),
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n\r\n' * 20 + b"--x--\r\n",
            (400, "malformed_body", "body"),
        ),
        (b"no part at all", (400, "malformed_body", "body")),
    ],
)
async def test_a_bad_form_has_the_one_shape_of_errors(body: bytes, expected: tuple[int, str, str | None]) -> None:
    assert (await answer("POST", "/forms", body, MULTIPART)).error == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/numbers", (422, "missing_field", "n")),
        ("/numbers?n=0", (422, "invalid_field", "n")),
        ("/numbers?n=x", (422, "invalid_field", "n")),
        ("/raises/unexpected", (500, "internal", None)),
        ("/raises/text", (500, "internal", None)),
        ("/raises/overloaded", (429, "overloaded", None)),
        ("/raises/too many", (429, "overloaded", None)),
        ("/raises/no user", (401, "unauthorized", None)),
        ("/raises/no right", (403, "forbidden", None)),
        ("/guarded", (401, "unauthorized", "authorization")),
        ("/nowhere", (404, "not_found", "path")),
        ("/numbers/", (422, "missing_field", "n")),
        ("//numbers", (404, "not_found", "path")),
    ],
)
async def test_every_error_has_the_one_shape(target: str, expected: tuple[int, str, str | None]) -> None:
    assert (await answer("GET", target)).error == expected


async def test_errors_bring_their_headers() -> None:
    assert (await answer("GET", "/raises/overloaded")).headers[b"retry-after"] == b"3"
    assert (await answer("GET", "/raises/too many")).headers[b"retry-after"] == b"1"
    assert (await answer("GET", "/guarded")).headers[b"www-authenticate"] == b"Bearer"
    assert (await answer("OPTIONS", "/numbers")).headers[b"allow"] == b"GET, HEAD"
    assert (await answer("PUT", "/lines")).error == (405, "method_not_allowed", "method")


async def test_litestars_own_routing_errors_have_the_shape_too() -> None:
    """The table of exact paths derives from Litestar's routes; if the two ever differ, clients see this error."""
    app = strict_litestar(HANDLERS, {})
    for method, path, expected in (("GET", "/nothing", "not_found"), ("PUT", "/lines", "method_not_allowed")):
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope: Any = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
        await app(scope, receive, send)
        assert msgspec.json.decode(sent[1]["body"], type=ErrorReply).error.code == expected
        assert (b"allow" in dict(sent[0]["headers"])) == (expected == "method_not_allowed")


async def test_a_guard_lets_the_token_pass() -> None:
    found = await answer("GET", "/guarded", b"", None, (b"authorization", b"Bearer a-token"))
    assert (found.status, found.body) == (200, b'{"x":1,"name":null}')


async def test_events_are_streamed() -> None:
    found = await answer("GET", "/events")
    assert found.headers[b"content-type"].startswith(b"text/event-stream")
    assert found.body.count(b"event: number") == 2


@pytest.mark.parametrize("target", ["/lines", "/forms"])
async def test_a_client_that_disconnects_while_it_sends_gets_no_reply(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    content_type = MULTIPART if target == "/forms" else "application/json"
    assert await ask(strict_litestar(HANDLERS, {}), "POST", target, b"gone", content_type) is None
    assert caplog.records == []


async def test_a_disconnect_ends_the_work_without_a_reply() -> None:
    ended: list[bool] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return ""

    @get("/watched")
    async def watched(request: Request[Any, Any, Any]) -> str:
        return await cancel_on_disconnect(scope_of(request), receive_of(request), work())

    assert await ask(strict_litestar([watched], {}), "GET", "/watched", b"gone") is None
    assert ended == [True]


async def test_only_an_unexpected_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await answer("GET", "/raises/overloaded")
    await answer("GET", "/raises/too many")
    assert caplog.records == []
    await answer("GET", "/raises/unexpected")
    (record,) = caplog.records
    assert (record.name, record.exc_info is not None) == ("tandem_gateway.http.errors", True)


async def test_the_environment_turns_on_neither_tracebacks_nor_a_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITESTAR_DEBUG", "1")
    monkeypatch.setenv("LITESTAR_PDB", "1")
    app = strict_litestar(HANDLERS, {})
    assert (app.debug, app.pdb_on_exception) == (False, False)
    found = await ask(app, "GET", "/raises/unexpected", b"", None, (b"accept", b"text/html"))
    assert found is not None
    assert found.error == (500, "internal", None)


def test_litestar_neither_logs_nor_starts_a_thread() -> None:
    threads, handlers = threading.active_count(), list(logging.getLogger().handlers)
    app = described_app(LIMITS)
    assert (app.logging_config, app.logger) == (None, None)
    assert (threading.active_count(), logging.getLogger().handlers) == (threads, handlers)


async def test_a_request_that_the_shutdown_cancels_gets_a_reply() -> None:
    begun = asyncio.Event()

    @get("/slow")
    async def slow() -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    task = asyncio.create_task(ask(strict_litestar([slow], {}), "GET", "/slow"))
    await begun.wait()
    task.cancel()
    found = await task
    assert found is not None
    assert found.error == (503, "not_ready", None)
    assert found.headers[b"retry-after"] == b"1"


def test_only_the_documentation_runs_in_a_thread() -> None:
    in_thread = set()
    for route in described_app(LIMITS).routes:
        for handler, _ in getattr(route, "route_handler_map", {}).values():
            assert all(inspect.iscoroutinefunction(guard) for guard in handler.resolve_guards())
            if handler.sync_to_thread:
                in_thread.add(route.path)
    assert in_thread == {"/docs", "/docs/rapidoc-min.js", "/openapi.json"}


def test_the_examples_of_the_document_are_messages() -> None:
    for examples, kind in ((SEARCH_EXAMPLES, SearchRequest), (INGEST_EXAMPLES, IngestRequest)):
        assert examples
        for _, value in examples.values():
            assert msgspec.convert(value, kind)
