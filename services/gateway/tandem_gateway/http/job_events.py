"""The handler that sends the progress of a job as server-sent events."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter

from tandem_gateway.access.jobs import GuardedJobEvents
from tandem_gateway.errors import NotFound
from tandem_gateway.http.caller import CallerGateway
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.exact_paths import HEAD
from tandem_gateway.http.messages import job_reply
from tandem_gateway.http.openapi_operations import EVENT_STREAM, refusals
from tandem_gateway.use_cases.job_events import JobEvent, JobEvents
from tandem_runtime.body import ClientGone, cancel_on_disconnect
from tandem_runtime.client_connection import connection_of
from tandem_runtime.request_id import Receive, Scope, Send

_JobId = Annotated[str, PathParameter(description="Id of the job.")]
_HEADERS: Final = (
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
)
_HEARTBEAT: Final = b": the job goes on\n\n"
_REFUSED: Final = (
    b'event: refused\ndata: {"message": '
    b'"authorization: the key or token has expired, was revoked, or is asked for now"}\n\n'
)
_encoder = msgspec.json.Encoder()


class _EventStream(Response[str]):
    """A reply of events, which ends with the job, or when its caller may not see it any more."""

    def __init__(
        self, events: JobEvents | GuardedJobEvents, job_id: str, still_allowed: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__(content="")
        self._events = events
        self._still_allowed = still_allowed
        self._job_id = job_id

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the application that sends the events."""

        async def send_events(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await cancel_on_disconnect(scope, receive, self._send(scope, send))
            except ClientGone:
                return

        return send_events

    async def _send(self, scope: Scope, send: Send) -> None:
        started = False
        connection = connection_of(scope)
        if connection is not None:
            connection.streams()
        try:
            async with aclosing(self._events.follow(self._job_id)) as events:
                async for event in events:
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
                        if scope.get(HEAD):
                            break
                    elif not self._still_allowed():
                        await send({"type": "http.response.body", "body": _REFUSED, "more_body": True})
                        break
                    part = _HEARTBEAT if event is None else encoded(event)
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            if not started:
                raise NotFound(f"job_id: there is no job {self._job_id!r}", param="job_id")  # forgotten meanwhile
        except Exception as error:
            if started:
                raise  # the connection breaks, so that the client notices
            await reply_to(error).send(scope, send)
            return
        await send({"type": "http.response.body", "body": b""})


def encoded(event: JobEvent) -> bytes:
    """Return a job as a server-sent event: ``end`` if it has ended, else ``progress``."""
    name = b"progress" if event.job.finished_at is None else b"end"
    return b"event: %s\ndata: %s\n\n" % (name, _encoder.encode(job_reply(event.job, event.blocked_reason)))


@get(
    "/v1/jobs/{job_id:str}/events",
    operation_id="follow_job",
    media_type=EVENT_STREAM,
    summary="Follow the progress of an ingest by server-sent events.",
    response_description="An event for each change of the job, without its failures. The last has the name `end`, "
    "or `refused` if the key has ended.",
    responses=refusals(403, 404, 422, 429, 500, 503, 504),
)
async def follow_job(
    job_id: _JobId, request: Request[Any, Any, Any], gateway: NamedDependency[CallerGateway]
) -> Response[str]:
    """Send the progress of a job until it has ended, the service stops, the key ends or the client leaves."""
    use_cases = gateway.ready()
    await use_cases.jobs.job(job_id)
    return _EventStream(use_cases.job_events, job_id, gateway.still_allowed)
