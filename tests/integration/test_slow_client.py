"""The server disconnects a client that stops in the middle of its request; it was open while other tests ran."""

import json

from tests.support.raw_http import StalledRequest
from tests.support.stack import Client


def test_others_are_served_meanwhile_and_the_slow_one_gets_408(client: Client, stalled: StalledRequest) -> None:
    assert client.health().status == "ok"
    head, _, body = stalled.answer().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nx-request-id: " in head.lower()
    assert json.loads(body)["error"]["code"] == "body_timeout"
    assert client.health().status == "ok"


def test_a_head_that_does_not_come_is_given_up_by_both_services(
    client: Client, stalled_heads: dict[str, StalledRequest]
) -> None:
    for name, stalled in stalled_heads.items():
        head, _, body = stalled.answer().partition(b"\r\n\r\n")
        if name.startswith("head of"):
            assert head.startswith(b"HTTP/1.1 408 "), name
            assert b"\r\nx-request-id: " in head
            assert json.loads(body)["error"]["code"] == "head_timeout"
        else:
            assert head == b"", name
    assert client.health().status == "ok"
