"""Every log line is one JSON object, whatever a program logs."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tandem_runtime import logs


def line(message: object = "index saved", *args: object, error: Any = None, **extra: object) -> dict[str, Any]:
    record = logging.getLogger("a.logger").makeRecord(
        "a.logger", logging.WARNING, __file__, 1, message, args, error, extra=extra
    )
    text = logs.JsonFormatter("gateway").format(record)
    assert "\n" not in text
    parsed = json.loads(text)
    assert isinstance(parsed, dict)
    return parsed


def test_a_line_has_time_level_service_logger_and_message():
    found = line("%d vectors saved", 7)
    assert found["message"] == "7 vectors saved"
    assert (found["level"], found["service"], found["logger"]) == ("warning", "gateway", "a.logger")
    assert found["time"].endswith("Z")
    assert "request_id" not in found


def test_extra_becomes_fields_and_nothing_else_is_added():
    found = line(collection="default", seconds=0.5, ids=["a"])
    assert (found["collection"], found["seconds"], found["ids"]) == ("default", 0.5, ["a"])
    assert set(found) == {"time", "level", "service", "logger", "message", "collection", "seconds", "ids"}


def test_the_request_id_of_the_context_is_a_field():
    token = logs.request_id.set("abc")
    try:
        assert line()["request_id"] == "abc"
    finally:
        logs.request_id.reset(token)


def test_a_trace_is_one_field_of_the_same_line():
    try:
        raise ValueError("why\nit failed")
    except ValueError:
        found = line(error=sys.exc_info())
    assert "ValueError: why\nit failed" in found["exception"]


class Odd:
    def __str__(self) -> str:
        return "odd"


def test_a_value_that_json_does_not_know_is_given_as_text():
    assert line(value=Odd())["value"] == "odd"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = object.__repr__


CYCLE: dict[str, object] = {}
CYCLE["itself"] = CYCLE


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\udfff": 1},
        {("a", 1): 2},
        {"deep": {1: {None: 1}}},
        2**70,
        float("nan"),
        b"\xff",
        Unprintable(),
        CYCLE,
    ],
)
def test_no_value_breaks_a_line(value: object):
    assert line("said", value=value)["logger"].strip("'") == "a.logger"


def test_a_message_with_surrogates_is_a_line():
    assert "ud800" in line("path \ud800")["message"]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logging.captureWarnings(False)


def test_configure_sends_every_logger_to_one_stream_and_quiets_the_chatty(root: logging.Logger):
    stream = io.StringIO()
    logs.configure("embedder", "info", stream)
    logging.getLogger("some.library").info("heard")
    logging.getLogger("some.library").debug("not heard")
    logging.getLogger("httpx2").info("HTTP Request: not heard")
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [found["message"] for found in lines] == ["heard"]
    assert lines[0]["service"] == "embedder"
