"""Why `tandem dev` ended, in one line."""

from pathlib import Path

from tandem_cli.dev import reason

PROBLEM = "the gateway ended with status 1"
STARTING = '{"level":"info","message":"starting"}'
CRITICAL = '{"level":"critical","message":"the gateway cannot start","error":"data is in use by process 7"}'
STOPPED = '{"level":"info","message":"stopped","status":1}'


def test_the_critical_line_of_the_log_is_the_reason() -> None:
    told = reason.of("\n".join([PROBLEM, STARTING, CRITICAL, STOPPED]), Path("logs"))
    assert told == f"{PROBLEM}: the gateway cannot start: data is in use by process 7 (logs: logs/)"


def test_an_error_is_the_reason_if_nothing_is_critical() -> None:
    told = reason.of("\n".join([PROBLEM, '{"level":"error","message":"no model"}', STOPPED]), Path("logs"))
    assert told == f"{PROBLEM}: no model (logs: logs/)"


def test_without_such_a_line_the_end_of_the_log_is_shown() -> None:
    for lines in ([], [STARTING, STOPPED], ["Traceback (most recent call last):", "[1]", "ValueError: no"]):
        failure = "\n".join([PROBLEM, *lines])
        assert reason.of(failure, Path("logs")) == failure
