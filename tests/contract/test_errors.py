"""The one format of errors, and the one table from code to status."""

import json
import math
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.errors import ErrorCode, ErrorReply, ErrorType, ReceivedErrorReply
from tandem_runtime.http import not_found
from tandem_runtime.replies import STATUS, error_reply, retry_after

CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)


def test_every_code_has_a_status_and_no_status_lacks_its_code():
    assert set(STATUS) == set(CODES)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("code", CODES)
def test_every_code_encodes_as_an_error_reply(code: ErrorCode):
    body = error_reply(code, "what is wrong", "documents[0].text")
    assert set(json.loads(body)) == {"error"}
    error = msgspec.json.decode(body, type=ErrorReply).error
    assert (error.message, error.code, error.param) == ("what is wrong", code, "documents[0].text")
    assert error.type in get_args(ErrorType)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("invalid_field", "invalid_request_error"),
        ("not_found", "invalid_request_error"),
        ("overloaded", "rate_limit_error"),
        ("rate_limited", "rate_limit_error"),
        ("not_ready", "unavailable_error"),
        ("deadline_exceeded", "unavailable_error"),
        ("internal", "server_error"),
    ],
)
def test_the_family_follows_the_status(code: ErrorCode, family: str):
    assert json.loads(error_reply(code, "m"))["error"]["type"] == family


def test_param_is_null_for_an_error_of_the_whole_message():
    assert json.loads(error_reply("malformed_body", "m")) == {
        "error": {"message": "m", "type": "invalid_request_error", "code": "malformed_body", "param": None}
    }


@given(st.text(st.characters(codec=None)), st.none() | st.text(st.characters(codec=None)))
def test_any_message_can_be_sent(message: str, param: str | None):
    error = msgspec.json.decode(error_reply("not_found", message, param), type=ErrorReply).error
    assert error.code == "not_found"
    assert (error.param is None) == (not param) or param == ""


def test_a_reader_takes_codes_and_fields_that_it_does_not_know():
    body = b'{"error": {"message": "m", "type": "new_error", "code": "new", "param": null, "help": 1}, "more": []}'
    assert msgspec.json.decode(body, type=ReceivedErrorReply).error.code == "new"


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(-5.0, "1"), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (119.5, "120"), (1e9, "120"), (math.inf, "120")],
)
def test_retry_after_is_whole_seconds_rounded_up_within_bounds(seconds: float, header: str):
    assert retry_after(seconds) == header


@given(st.floats())
def test_retry_after_is_always_a_header_value(seconds: float):
    assert 1 <= int(retry_after(seconds)) <= 120


async def test_an_unknown_path_is_quoted_in_part():
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("there is no body to be read")

    await not_found({"type": "http", "path": "/" + "x" * 60_000, "headers": []}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    assert msgspec.json.decode(body, type=ErrorReply).error.code == "not_found"
    assert len(body) < 500
