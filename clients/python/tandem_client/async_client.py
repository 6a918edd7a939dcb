"""The client whose methods are coroutines; it is for one event loop, of asyncio or trio."""

import contextlib
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sized
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio
import anyio.to_thread
import httpx2

from tandem_client.base import BaseClient
from tandem_client.bulk.asynchronous import AsynchronousIngest
from tandem_client.bulk.batches import BulkOptions, Tuning
from tandem_client.bulk.progress import Show, shown
from tandem_client.bulk.resume import ResumeFile
from tandem_client.bulk.tally import IngestReport
from tandem_client.call import Call
from tandem_client.calls.ingesting import DocumentLike
from tandem_client.errors import InvalidReply
from tandem_client.events import Following
from tandem_client.exchange import Failed, Pause, Received, Send, exchange
from tandem_client.methods import AsyncSender
from tandem_client.settings import Settings
from tandem_client.transport import (
    DECODE_IN_THREAD_BYTES,
    Collected,
    bulk_settings,
    failed,
    http_options,
    request_options,
)
from tandem_contract.client_api import DEFAULT_COLLECTION, Job, OnError

HEADERS_GRACE_SECONDS = 0.25
"""Time in which httpx2 itself may tell of a time-out; it knows whether there was a connection."""

T = TypeVar("T")


class AsyncClient(AsyncSender, BaseClient[httpx2.AsyncClient]):
    """A client of one gateway, with a pool of connections and the methods of ``Client`` as coroutines.

    async with AsyncClient("http://localhost:8000") as client:
        await client.ingest(["The cat sat on the mat."], wait=True)
        reply = await client.search("a pet on a rug")
    """

    async def close(self) -> None:
        """Close all connections."""
        await self._shared.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ingest(
        self,
        documents: Iterable[DocumentLike] | AsyncIterable[DocumentLike],
        *,
        collection: str = DEFAULT_COLLECTION,
        wait: bool = False,
        on_error: OnError = "skip",
        resume: str | os.PathLike[str] | None = None,
        progress: bool | Show | None = None,
        total: int | None = None,
        **tuning: Unpack[Tuning],
    ) -> IngestReport:
        """Store any number of documents, as ``Client.ingest`` does; ``documents`` may be an asynchronous iterable."""
        options = BulkOptions(collection=collection, wait=wait, on_error=on_error, **tuning)
        sender = self._with_settings(bulk_settings(self._settings, options))
        total = len(documents) if total is None and isinstance(documents, Sized) else total
        with ResumeFile(resume, options) as remembered, shown(progress, total) as show:
            return await AsynchronousIngest(sender, options, remembered, show).run(documents)

    async def follow_job(self, job_id: str) -> AsyncIterator[Job]:
        """Yield the states of a job as it goes on, as ``Client.follow_job`` does."""
        following = Following(job_id, self._settings)
        while True:
            outcome: Received | Failed = following.broken
            try:
                async with self._opened(following.call, following.begin()) as response:
                    if response.status_code == 200:
                        async for piece in response.aiter_bytes():
                            for job in following.take(piece):
                                yield job
                            if following.ended:
                                return
                    else:
                        outcome = await self._received(response, time.monotonic() + self._settings.timeout)
            except httpx2.TransportError as error:
                outcome = failed(error)
            await anyio.sleep(following.wait_after(outcome))

    async def send(self, call: Call[T]) -> T:
        """Send a call with its retries, and return its result."""
        steps = exchange(call, self._settings, self._shared.position)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await anyio.sleep(step.seconds)
                    step = steps.send(None)
                else:
                    step = steps.send(await self._attempt(call, step))
        except StopIteration as done:
            received: Received = done.value
        self._shared.learn(received)
        if len(received.body) < DECODE_IN_THREAD_BYTES:
            return call.decode(received.body)
        return await anyio.to_thread.run_sync(call.decode, received.body)

    def _connect(self, settings: Settings) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(**http_options(settings))

    async def _attempt(self, call: Call[Any], step: Send) -> Received | Failed:
        until = time.monotonic() + step.timeout
        try:
            async with self._opened(call, step) as response:
                return await self._received(response, until)
        except httpx2.TransportError as error:
            return failed(error)

    @contextlib.asynccontextmanager
    async def _opened(self, call: Call[Any], step: Send) -> AsyncIterator[httpx2.Response]:
        http = self._shared.http
        # The time-outs of httpx2 are for each read, so that headers that come byte by byte would have none.
        with anyio.move_on_after(step.timeout + HEADERS_GRACE_SECONDS) as limit:
            response = await http.send(http.build_request(**request_options(call, step)), stream=True)
        if limit.cancelled_caught:
            raise httpx2.ReadTimeout("the headers did not end")
        try:
            yield response
        finally:
            await response.aclose()

    async def _received(self, response: httpx2.Response, until: float) -> Received | Failed:
        body = Collected(self._settings.max_reply_bytes)
        try:
            async for piece in response.aiter_bytes():
                body.add(piece)
                # The time-outs of httpx2 are for each piece.
                if time.monotonic() > until:
                    return Failed("timed_out", "no whole reply in time")
        except httpx2.DecodingError as error:
            raise InvalidReply(f"the reply is compressed, and damaged: {error}") from error
        return Received(response.status_code, response.headers, body.body())
