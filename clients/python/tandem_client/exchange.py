"""A call with its attempts and waits, without input and output: both clients drive the same generator.

    steps = exchange(call, settings)
    step = next(steps)                       # Send(...) or Pause(...)
    step = steps.send(Received(...))         # what came of a Send; None after a Pause

``StopIteration.value`` is the successful response. An exception of ``tandem_client.errors`` ends the generator too.
"""

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from tandem_client.call import Call
from tandem_client.errors import ApiError, ConnectionBroken, NotConnected, TandemError, TimedOut, error_of
from tandem_client.retry import Fault, seconds_before_retry
from tandem_client.settings import Settings, client_version
from tandem_contract import headers as names

MAX_TIMEOUT_MS = 600_000
"""Largest ``x-request-timeout-ms`` that the gateway takes."""
USER_AGENT = f"tandem-client/{client_version()}"

_FAULTS: dict[Fault, type[TandemError]] = {
    "not_connected": NotConnected,
    "broken": ConnectionBroken,
    "timed_out": TimedOut,
}


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request with these headers; give up after ``timeout`` seconds."""

    headers: Mapping[str, str]
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Received:
    """A whole response; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """No whole response."""

    fault: Fault
    message: str


Exchange = Generator[Send | Pause, Received | Failed | None, Received]


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time and chance; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    # S311: jitter is no secret.
    draw: Callable[[], float] = random.random


def exchange(
    call: Call[Any], settings: Settings, position: str | None = None, clocks: Clocks | None = None
) -> Exchange:
    """Yield what to do, and return the successful response.

    Args:
        call: the request.
        settings: time-outs, retries, headers.
        position: the newest ``x-tandem-position`` that the client knows.
        clocks: time and chance.

    Raises:
        TandemError: the last attempt's error.
    """
    clocks = clocks or Clocks()
    began = clocks.monotonic()
    timeout = settings.timeout + call.server_seconds
    attempt = 0
    while True:
        left = timeout - (clocks.monotonic() - began)
        if settings.attempt_timeout is not None:
            left = min(left, settings.attempt_timeout + call.server_seconds)
        result = yield Send(headers_of(call, settings, position, left), max(left, 0.001))
        assert result is not None
        if isinstance(result, Received) and result.status < 300:
            return result
        error = _error(call, settings, result, clocks)
        wait = seconds_before_retry(
            settings.retry,
            attempt=attempt,
            outcome=result.status if isinstance(result, Received) else result.fault,
            repeatable=call.repeatable,
            retry_after=error.retry_after if isinstance(error, ApiError) else None,
            elapsed=clocks.monotonic() - began,
            timeout=timeout,
            draw=clocks.draw(),
        )
        if wait is None:
            raise error
        yield Pause(wait)
        attempt += 1


def headers_of(call: Call[Any], settings: Settings, position: str | None, left: float) -> dict[str, str]:
    """Return the headers of a request; those of the settings come first, and the call's own count."""
    found = {"user-agent": USER_AGENT, "accept": "*/*"}
    found |= {name.lower(): value for name, value in settings.headers.items()}
    if settings.api_key:
        found[names.AUTHORIZATION] = f"Bearer {settings.api_key}"
    if call.body:
        found["content-type"] = call.content_type
    if call.sends_deadline:
        found[names.TIMEOUT_MS] = str(min(MAX_TIMEOUT_MS, max(1, int(left * 1000))))
    if call.sends_position and position is not None:
        found[names.POSITION] = position
    return found | dict(call.headers)


def newer_position(known: str | None, received: str | None) -> str | None:
    """Return the newer of two positions of the store; the received one if they are of different stores."""
    if received is None or known is None:
        return received or known
    store, _, number = received.rpartition(".")
    known_store, _, known_number = known.rpartition(".")
    if store == known_store and number.isdecimal() and known_number.isdecimal() and int(number) < int(known_number):
        return known
    return received


def fault_error(failed: Failed, what: str) -> TandemError:
    """Return the exception for a request that got no whole response."""
    return _FAULTS[failed.fault](f"{what}: {failed.message}")


def _error(call: Call[Any], settings: Settings, result: Received | Failed, clocks: Clocks) -> TandemError:
    if isinstance(result, Failed):
        return fault_error(result, f"{call.method} {settings.url}{call.path}")
    return error_of(result.status, result.headers, result.body, clocks.wall())
