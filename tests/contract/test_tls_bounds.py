"""The limits of a plain connection hold with TLS: the same tests, with the server and its clients over TLS.

Left out are tests whose client closes its side alone: asyncio's clients cannot do that with TLS.
"""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from tandem_runtime.server_tls import ServerTls
from tandem_runtime.serving.server import DrainingServer
from tests.contract.test_connection_limit import (
    test_at_the_limit_the_connection_that_waits_longest_makes_room,
    test_more_connections_than_the_limit_are_refused_at_once_and_counted,
)
from tests.contract.test_http_bounds import (
    test_a_trailer_never_becomes_a_header,
    test_trailers_and_extensions_without_end_end_the_connection,
    test_trailers_of_a_usual_size_are_passed_over,
)
from tests.contract.test_http_end import (
    test_a_client_that_keeps_the_connection_reads_the_refusal_and_may_go_on,
    test_a_client_that_sends_a_large_body_and_closes_reads_the_refusal,
    test_a_client_that_stops_reading_is_cut_off,
    test_a_connection_with_an_unread_answer_counts_and_makes_no_room,
    test_a_large_answer_counts_until_the_client_reads_it_or_disconnects,
    test_an_answer_behind_one_that_is_not_read_counts_as_well,
    test_dropping_further_input_is_bounded_in_time,
)
from tests.contract.test_refused_connection import (
    test_a_disconnect_ends_the_open_request_at_once,
    test_dropped_input_is_bounded_and_a_pause_keeps_the_open_responses,
    test_the_responses_and_the_refusal_arrive_after_much_dropped_input,
)
from tests.contract.test_serving import (
    impatient,
    served,
    test_half_a_head_gets_408_and_silence_nothing,
)
from tests.support.certificates import Authority

__all__ = [
    "impatient",
    "served",
    "test_a_client_that_keeps_the_connection_reads_the_refusal_and_may_go_on",
    "test_a_client_that_sends_a_large_body_and_closes_reads_the_refusal",
    "test_a_client_that_stops_reading_is_cut_off",
    "test_a_connection_with_an_unread_answer_counts_and_makes_no_room",
    "test_a_disconnect_ends_the_open_request_at_once",
    "test_a_large_answer_counts_until_the_client_reads_it_or_disconnects",
    "test_a_trailer_never_becomes_a_header",
    "test_an_answer_behind_one_that_is_not_read_counts_as_well",
    "test_at_the_limit_the_connection_that_waits_longest_makes_room",
    "test_dropped_input_is_bounded_and_a_pause_keeps_the_open_responses",
    "test_dropping_further_input_is_bounded_in_time",
    "test_half_a_head_gets_408_and_silence_nothing",
    "test_more_connections_than_the_limit_are_refused_at_once_and_counted",
    "test_the_responses_and_the_refusal_arrive_after_much_dropped_input",
    "test_trailers_and_extensions_without_end_end_the_connection",
    "test_trailers_of_a_usual_size_are_passed_over",
]


@pytest.fixture(autouse=True)
def over_tls(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server of the test a certificate, and let its clients connect with TLS."""
    folder: Path = tmp_path_factory.mktemp("authority")
    authority = Authority(folder)
    files = authority.server_files()
    context = authority.client_context()
    connect, connect_blocking = asyncio.open_connection, socket.create_connection

    def server(*arguments: Any, **named: Any) -> DrainingServer:
        return DrainingServer(*arguments, **{**named, "tls": ServerTls(files)})

    async def open_connection(*arguments: Any, **named: Any) -> Any:
        return await connect(*arguments, ssl=context, server_hostname="localhost", **named)

    def create_connection(*arguments: Any, **named: Any) -> Any:
        return context.wrap_socket(connect_blocking(*arguments, **named), server_hostname="localhost")

    monkeypatch.setattr("tests.support.serving.DrainingServer", server)
    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    monkeypatch.setattr(socket, "create_connection", create_connection)
