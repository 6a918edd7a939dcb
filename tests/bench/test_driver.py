"""The load client over real sockets, against a server whose answers the test decides."""

import socket
import threading
import time

import pytest

from gateway_bench.load.ceiling import measure_ceiling
from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, Unreachable, run_load
from gateway_bench.load.timings import Summary, Timings
from gateway_bench.queries import endless_requests, search_body
from tests.bench.conftest import FOUND, ScriptedServer


def load(server: ScriptedServer, plan: Plan, texts: tuple[str, ...] = ("a", "b", "c")) -> tuple[Timings, Summary]:
    target = Target.of(server.url, "/v1/search")
    return run_load(target, endless_requests(target, [search_body(text, 5) for text in texts]), plan)


def test_a_count_is_sent_exactly_and_every_query_in_its_turn(server: ScriptedServer) -> None:
    _, summary = load(server, Plan(4, count=30))
    assert (summary.requests, summary.ok, summary.errors) == (30, 30, {})
    assert [asked["query"] for asked in server.asked].count("b") == 10
    assert all(asked["top_k"] == 5 for asked in server.asked)


def test_a_closed_loop_never_has_more_requests_open_than_clients(server: ScriptedServer) -> None:
    open_now, most, lock = 0, 0, threading.Lock()

    def script(number: int) -> tuple[int, bytes]:
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        time.sleep(0.002)
        with lock:
            open_now -= 1
        return 200, FOUND

    server.script = script
    _, summary = load(server, Plan(3, count=60))
    assert summary.ok == 60
    assert most == 3


def test_refusals_and_broken_connections_are_errors_by_kind_and_the_run_goes_on(server: ScriptedServer) -> None:
    server.script = lambda number: {3: (429, b"{}"), 5: (503, b"{}"), 8: None}.get(number, (200, FOUND))
    _, summary = load(server, Plan(1, count=20))
    assert summary.errors == {"HTTP 429": 1, "HTTP 503": 1, "connection lost": 1}
    assert summary.ok == 17


def test_answers_that_found_nothing_are_counted(server: ScriptedServer) -> None:
    server.script = lambda number: (200, b'{"results":[],"took_ms":0.1}' if number % 2 else FOUND)
    _, summary = load(server, Plan(1, count=10))
    assert (summary.ok, summary.empty) == (10, 5)


def test_a_request_without_an_answer_ends_at_its_timeout(server: ScriptedServer) -> None:
    gone = threading.Event()

    def script(number: int) -> tuple[int, bytes]:
        if number == 2:
            gone.wait(20)
        return 200, FOUND

    server.script = script
    try:
        _, summary = load(server, Plan(1, count=6, timeout=0.3))
    finally:
        gone.set()
    assert summary.errors == {"timeout": 1}
    assert summary.ok == 5


def test_an_open_loop_counts_a_stall_for_every_request_that_was_due_in_it(server: ScriptedServer) -> None:
    stalled = 0.4

    def script(number: int) -> tuple[int, bytes]:
        if number == 10:
            time.sleep(stalled)
        return 200, FOUND

    server.script = script
    # There is one connection: while it waits, the schedule continues.
    timings, summary = load(server, Plan(1, rate=100.0, count=60))
    assert summary.ok == 60
    late = sum(1000 * (done - due) > 100 for done, due in zip(timings.done, timings.due, strict=True))
    # 100 a second for 0.4 s are 40 requests; those due in the first 0.3 s waited over 0.1 s. A closed loop has one.
    assert late >= 29
    assert list(timings.due) == pytest.approx([number / 100 for number in range(60)])


def test_an_open_loop_drops_requests_that_it_could_not_send_in_time(server: ScriptedServer) -> None:
    gone = threading.Event()

    def script(number: int) -> tuple[int, bytes]:
        gone.wait(20)
        return 200, FOUND

    server.script = script
    try:
        _, summary = load(server, Plan(1, rate=200.0, count=20, timeout=0.2))
    finally:
        gone.set()
    assert summary.requests == 20
    assert summary.ok == 0
    assert sum(summary.errors.values()) == 20


def test_a_target_that_refuses_connections_is_reported() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = Target("127.0.0.1", closed.getsockname()[1], "/v1/search")
        with pytest.raises(Unreachable, match="takes no connection"):
            run_load(target, endless_requests(target, [b"{}"]), Plan(1, count=1))


def test_the_ceiling_is_a_rate_that_was_reached() -> None:
    target = Target("localhost", 80, "/v1/search")
    requests = endless_requests(target, [search_body(f"query {number}", 5) for number in range(100)])
    assert measure_ceiling(requests, FOUND, 4, 0.2) > 0


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no http"):
        Target.of(url, "/v1/search")


def test_a_url_with_a_path_keeps_it() -> None:
    assert Target.of("https://example.org/tandem/", "/v1/search") == Target(
        "example.org", 443, "/tandem/v1/search", True
    )


def test_an_api_key_is_sent_and_not_printed() -> None:
    with_key = Target.of("http://localhost:8000", "/v1/search", "the-key")
    assert b"\r\nauthorization: Bearer the-key\r\n" in with_key.request(b"{}")
    assert "the-key" not in repr(with_key)
    assert b"authorization" not in Target.of("http://localhost:8000", "/v1/search").request(b"{}")
