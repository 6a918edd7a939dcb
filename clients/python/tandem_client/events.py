"""Server-sent events of a job: a parser of the stream, and what to do when the stream ends. No input and output."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tandem_client.call import Call, as_text, part, reply_of
from tandem_client.errors import ApiError, InvalidReply, TandemError, Unauthorized, error_of
from tandem_client.exchange import Failed, Received, Send, fault_error, headers_of
from tandem_client.retry import seconds_before_retry
from tandem_client.settings import Settings
from tandem_contract.client_api import Job
from tandem_contract.errors import ReceivedErrorBody

MAX_EVENT_BYTES = 1 << 20
SILENT_SECONDS = 60.0
"""The gateway sends a comment after 15 seconds without a change."""

_JOB = reply_of(Job)


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its name, and its data."""

    name: str
    data: bytes


class EventParser:
    """Parses a stream of server-sent events, in pieces of any size; holds at most one event."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Take a piece, and yield the events that are complete.

        Raises:
            InvalidReply: an event has more than ``MAX_EVENT_BYTES``.
        """
        lines = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if not line:
                if self._data:
                    yield Event(self._name or "message", b"\n".join(self._data))
                self._name, self._data, self._size = "", [], 0
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                self._name = value.decode(errors="replace")
            elif field == b"data":
                self._data.append(value)
                self._size += len(value)
            self._check()
        self._check()

    def _check(self) -> None:
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise InvalidReply(f"an event has more than {MAX_EVENT_BYTES} bytes")


def events_call(job_id: str) -> Call[str]:
    """Return the call that opens the stream of a job."""
    path = f"/v1/jobs/{part(job_id, 'job_id')}/events"
    return Call("GET", path, as_text, headers={"accept": "text/event-stream"})


class Following:
    """The progress of one job, over one stream after another.

    Attributes:
        call: opens a stream.
        ended: whether the last event came.
        broken: what happened to a stream that ends without it.
    """

    def __init__(self, job_id: str, settings: Settings) -> None:
        self.call = events_call(job_id)
        self.ended = False
        self.broken = Failed("broken", "the stream of events ended early")
        self._settings = settings
        self._attempt = 0
        self._waited = 0.0
        self._parser = EventParser()

    def begin(self) -> Send:
        """Begin with a new stream, and return how to open it."""
        self._parser = EventParser()
        return Send(headers_of(self.call, self._settings, None, SILENT_SECONDS), SILENT_SECONDS)

    def take(self, piece: bytes) -> Iterator[Job]:
        """Take a piece of the stream, and yield each state of the job that it tells.

        Raises:
            Unauthorized: the gateway ended the stream because the key is revoked or has expired.
            InvalidReply: the stream is no stream of a job.
        """
        for event in self._parser.feed(piece):
            self._attempt, self._waited = 0, 0.0
            if event.name == "refused":
                raise Unauthorized(_refusal(event.data), status=401, code="unauthorized")
            if event.name in ("progress", "end"):
                self.ended = event.name == "end"
                yield _JOB(event.data)
                if self.ended:
                    return

    def wait_after(self, outcome: Received | Failed) -> float:
        """Return the seconds until the next stream.

        Args:
            outcome: the response with an error, or what happened to the stream.

        Raises:
            TandemError: there is to be no other.
        """
        error: TandemError
        if isinstance(outcome, Failed):
            error = fault_error(outcome, f"GET {self._settings.url}{self.call.path}")
        else:
            error = error_of(outcome.status, outcome.headers, outcome.body, time.time())
        wait = seconds_before_retry(
            self._settings.retry,
            attempt=self._attempt,
            outcome=outcome.status if isinstance(outcome, Received) else outcome.fault,
            repeatable=True,
            retry_after=error.retry_after if isinstance(error, ApiError) else None,
            elapsed=self._waited,
            timeout=self._settings.timeout,
            draw=random.random(),  # noqa: S311 - jitter is no secret
        )
        if wait is None:
            raise error
        self._attempt += 1
        self._waited += wait
        return wait


def _refusal(data: bytes) -> str:
    try:
        return msgspec.json.decode(data, type=ReceivedErrorBody).message
    except (msgspec.MsgspecError, UnicodeError):
        return "the key or token has been revoked, or has expired"
