"""W3C Trace Context: valid headers are forwarded unchanged, invalid ones are dropped."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime import logs, trace
from tandem_runtime.access_log import AccessLog
from tandem_runtime.edge import edge
from tandem_runtime.http import Reply
from tandem_runtime.request_id import Receive, Scope, Send

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def read(parent: str, *states: str) -> trace.TraceContext | None:
    return trace.read([parent.encode("latin-1")], [state.encode("latin-1") for state in states])


@pytest.mark.parametrize(
    "parent", [PARENT, PARENT[:-2] + "00", f" {PARENT} ", "cc" + PARENT[2:], f"cc{PARENT[2:]}-more"]
)
def test_a_valid_one_is_passed_on_as_it_came(parent: str):
    found = read(parent)
    assert found is not None
    assert found.trace_id == TRACE_ID
    assert trace.headers_of(found) == {"traceparent": parent.strip()}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-more",
        PARENT.upper(),
        "ff" + PARENT[2:],
        "0" + PARENT[2:],
        PARENT.replace(TRACE_ID, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT.replace("-", "_"),
        PARENT.replace("4bf9", "4bg9"),
        PARENT + "\n",
        f"cc{PARENT[2:]}more",
        f"cc{PARENT[2:]}-{'m' * 1000}",
    ],
)
def test_one_that_is_not_valid_is_ignored(parent: str):
    assert read(parent) is None


def test_two_are_not_valid_and_none_is_none():
    assert trace.read([PARENT.encode()] * 2, []) is None
    assert trace.read([], [b"a=1"]) is None


@pytest.mark.parametrize(
    ("states", "passed"),
    [
        ((), None),
        (("congo=t61rcWkgMzE",), "congo=t61rcWkgMzE"),
        (("a=1", "b=2"), "a=1,b=2"),
        (("a=" + "x" * 510,), "a=" + "x" * 510),
        (("a=" + "x" * 511,), None),
        (("a=\x01",), None),
        (("ü=1",), None),
        ((" ",), None),
    ],
)
def test_the_state_goes_along_within_its_bound(states: tuple[str, ...], passed: str | None):
    found = read(PARENT, *states)
    assert found is not None
    assert found.state == passed
    assert trace.headers_of(found).get("tracestate") == passed


@given(st.lists(st.binary(max_size=80), max_size=2), st.lists(st.binary(max_size=600), max_size=2))
def test_any_header_is_read_and_forwarded_ones_are_printable(parents: list[bytes], states: list[bytes]):
    found = trace.read(parents, states)
    assert found is None or all(value.isprintable() for value in trace.headers_of(found).values())


async def test_log_lines_and_access_log_carry_it_and_the_next_request_does_not():
    stream, lines = io.BytesIO(), io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logs.JsonFormatter("test"))
    log = logging.Logger("tandem_test")
    log.addHandler(handler)
    seen: list[trace.TraceContext | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(trace.current.get())
        log.info("something")
        await Reply(200, b"{}").send(scope, send)

    async def nothing(message: object = None) -> dict[str, object]:
        return {}

    access = AccessLog("test", lambda data, lines: stream.write(data))
    wrapped = edge(app, observers=[access.record])
    for headers in ([(b"tracestate", b"a=1"), (b"traceparent", PARENT.encode())], [], [(b"traceparent", b"bad")]):
        await wrapped({"type": "http", "method": "GET", "path": "/", "headers": headers}, nothing, nothing)
    access.flush()
    assert [found and found.state for found in seen] == ["a=1", None, None]
    for text in (stream.getvalue().decode(), lines.getvalue()):
        written = [json.loads(line) for line in text.splitlines()]
        assert [line.get("trace_id") for line in written] == [TRACE_ID, None, None]
        assert all(line["request_id"] for line in written)
    assert "trace_id" not in json.loads(lines.getvalue().splitlines()[1])
