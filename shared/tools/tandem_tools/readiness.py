"""Checks over HTTP that a program is ready, and the wait for it."""

import time
from collections.abc import Callable

import httpx2

POLL_SECONDS = 0.02

_LOOK_SECONDS = 2.0

Ready = Callable[[httpx2.Client], str | None]
"""Returns None once a program is ready, else the reason why it is not yet. It raises if the program never will be."""


def answers(*urls: str) -> Ready:
    """Return a check that is ready once every URL answers 200."""

    def look(http: httpx2.Client) -> str | None:
        for url in urls:
            status = http.get(url).status_code
            if status != httpx2.codes.OK:
                return f"{url} answered {status}"
        return None

    return look


def get(url: str, timeout: float = 5.0) -> tuple[int, bytes]:
    """Return status and body of a GET; (0, reason) if nothing answered."""
    try:
        response = httpx2.get(url, timeout=timeout, trust_env=False)
    except httpx2.TransportError as error:
        return 0, (str(error) or type(error).__name__).encode()
    return response.status_code, response.content


def wait_until_ready(ready: Ready, until: float, check: Callable[[], None] = lambda: None) -> str | None:
    """Look until ``ready`` returns None or the time is up, and return the last reason; None means ready.

    Args:
        ready: looked at once at least.
        until: the deadline, on the clock of ``time.monotonic``.
        check: called after each look; raises if there is nothing left to wait for.
    """
    # A proxy of the environment must not stand between the runner and the loopback.
    with httpx2.Client(trust_env=False, timeout=_LOOK_SECONDS) as http:
        while True:
            try:
                reason = ready(http)
            except httpx2.TransportError as error:
                reason = f"no answer: {str(error) or type(error).__name__}"
            if reason is None:
                return None
            check()
            if time.monotonic() > until:
                return reason
            time.sleep(POLL_SECONDS)
