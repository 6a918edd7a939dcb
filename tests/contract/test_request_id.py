"""A request's id is the client's if it is well formed, else a new one; every response and log line has it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime import logs
from tandem_runtime.edge import edge
from tandem_runtime.request_id import choose_request_id

WELL_FORMED = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")

Send = Callable[[Any], Awaitable[None]]


@given(st.from_regex(r"\A[A-Za-z0-9._:\-]{1,128}\Z"))
def test_a_well_formed_id_is_kept(given_id: str):
    assert choose_request_id(given_id.encode()) == given_id.encode()


@given(st.none() | st.binary(max_size=200))
def test_the_chosen_id_is_always_well_formed(given_id: bytes | None):
    chosen = choose_request_id(given_id)
    assert WELL_FORMED.fullmatch(chosen)
    if given_id is None or not WELL_FORMED.fullmatch(given_id):
        assert chosen != given_id


@pytest.mark.parametrize("given_id", [b"", b"a\n", b"a b", b"a" * 129, "ä".encode(), b'"', b"\x00"])
def test_an_id_that_could_break_a_log_or_a_header_is_replaced(given_id: bytes):
    assert re.fullmatch(rb"[0-9a-f]{16}", choose_request_id(given_id))


def test_two_made_ids_differ():
    assert choose_request_id(None) != choose_request_id(None)


async def call(app: Any, headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await edge(app)({"type": kind, "headers": headers}, receive, send)
    return sent


def ids_of(sent: list[Any]) -> list[bytes]:
    return [value for name, value in sent[0].get("headers", ()) if name == b"x-request-id"]


@pytest.mark.parametrize("status", [200, 202, 404, 422, 429, 500, 503])
async def test_every_response_has_the_id(status: int):
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    sent = await call(app, [(b"x-request-id", b"given-1")])
    assert ids_of(sent) == [b"given-1"]
    assert (b"a", b"b") in sent[0]["headers"]
    assert sent[1] == {"type": "http.response.body", "body": b""}


async def test_a_response_without_headers_gets_the_id_too():
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 500})

    assert len(ids_of(await call(app, []))) == 1


async def test_the_id_is_in_the_log_context_while_the_request_runs_and_not_after():
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        seen.append(logs.request_id.get())
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        return None

    scope = {"type": "http", "headers": [(b"x-request-id", b"given-2")]}
    await edge(app)(scope, send, send)  # type: ignore[arg-type]
    seen.append(logs.request_id.get())
    assert seen == ["given-2", None]


async def test_the_log_context_is_left_when_the_request_fails():
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        await edge(app)({"type": "http", "headers": []}, None, None)  # type: ignore[arg-type]
    seen.append(logs.request_id.get())
    assert seen == [None]


async def test_two_requests_at_once_keep_their_own_ids():
    seen: dict[str, str | None] = {}

    met = asyncio.Barrier(2)

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await met.wait()
        seen[scope["path"]] = logs.request_id.get()

    wrapped = edge(app)
    await asyncio.gather(
        *(
            wrapped({"type": "http", "path": name, "headers": [(b"x-request-id", name.encode())]}, None, None)  # type: ignore[arg-type]
            for name in ("one", "two")
        )
    )
    assert seen == {"one": "one", "two": "two"}


async def test_other_scopes_than_requests_pass_unchanged():
    async def app(scope: Any, receive: Any, send: Send) -> None:
        assert logs.request_id.get() is None
        await send({"type": "lifespan.startup.complete"})

    assert await call(app, [], kind="lifespan") == [{"type": "lifespan.startup.complete"}]
