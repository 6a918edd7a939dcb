"""The client that blocks; threads may share it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from tandem_client.base import BaseClient
from tandem_client.bulk.batches import BulkOptions, Tuning
from tandem_client.bulk.blocking import BlockingIngest, Stop
from tandem_client.bulk.progress import Show, shown
from tandem_client.bulk.resume import ResumeFile
from tandem_client.bulk.tally import IngestReport
from tandem_client.call import Call
from tandem_client.calls.ingesting import DocumentLike
from tandem_client.errors import InvalidReply
from tandem_client.events import Following
from tandem_client.exchange import Failed, Pause, Received, Send, exchange
from tandem_client.methods import SyncSender
from tandem_client.settings import Settings
from tandem_client.transport import Collected, bulk_settings, failed, http_options, request_options
from tandem_contract.client_api import DEFAULT_COLLECTION, Job, OnError

T = TypeVar("T")


class Client(SyncSender, BaseClient[httpx2.Client]):
    """A client of one gateway, with a pool of connections. Threads may share it.

    with Client("http://localhost:8000") as client:
        client.ingest(["The cat sat on the mat."], wait=True)
        print(client.search("a pet on a rug").results[0].text)
    """

    _pause: Callable[[float], object] = staticmethod(time.sleep)

    def close(self) -> None:
        """Close all connections."""
        self._shared.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ingest(
        self,
        documents: Iterable[DocumentLike],
        *,
        collection: str = DEFAULT_COLLECTION,
        wait: bool = False,
        on_error: OnError = "skip",
        resume: str | os.PathLike[str] | None = None,
        progress: bool | Show | None = None,
        total: int | None = None,
        **tuning: Unpack[Tuning],
    ) -> IngestReport:
        """Store any number of documents, in bounded memory: a batch for each of ``concurrency``, and one more.

        It waits while the gateway is overloaded (429, 503) and while many jobs have not ended. Each batch has an
        idempotency key, so that a lost reply stores nothing twice.

        Args:
            documents: texts, mappings with the fields of a document, or ``DocumentInput``; read as they are needed.
            collection: name of the collection, which is created if it does not exist.
            wait: whether to wait until searches find the documents.
            on_error: ``skip`` leaves out documents that are not valid, and the report tells the first of them;
                ``reject`` stops at a batch with such a document.
            resume: file that remembers what is sent. After a run that was cut off, the same documents in the same order
                with the same file go on where it stopped. Delete the file to send all again.
            progress: a function that gets the report so far; True or False for a bar on standard error or none; None
                for a bar if standard error is a terminal and rich is installed.
            total: number of documents, for the bar; None for ``len(documents)`` if it has one.
            tuning: sizes and limits; see ``BulkOptions``.

        Raises:
            IngestStopped: of an error that other batches would get too; its ``report`` tells what is stored.
            TypeError: a document is none.
            ValueError: an option is not valid, or JSON cannot say a document and ``on_error`` is ``reject``.
        """
        options = BulkOptions(collection=collection, wait=wait, on_error=on_error, **tuning)
        stop = Stop()
        sender = self._with_settings(bulk_settings(self._settings, options))
        sender._pause = stop.pause
        total = len(documents) if total is None and isinstance(documents, Sized) else total
        with ResumeFile(resume, options) as remembered, shown(progress, total) as show:
            return BlockingIngest(sender, stop, options, remembered, show).run(documents)

    def follow_job(self, job_id: str) -> Iterator[Job]:
        """Yield the states of a job as it goes on, at most two a second; the last is its end. They have no failures.

        A stream that breaks is opened again. ``get_job`` has the failures of a job that has ended.
        """
        following = Following(job_id, self._settings)
        while True:
            outcome: Received | Failed = following.broken
            try:
                with self._opened(following.call, following.begin()) as response:
                    if response.status_code == 200:
                        for piece in response.iter_bytes():
                            yield from following.take(piece)
                            if following.ended:
                                return
                    else:
                        outcome = self._received(response, time.monotonic() + self._settings.timeout)
            except httpx2.TransportError as error:
                outcome = failed(error)
            self._pause(following.wait_after(outcome))

    def send(self, call: Call[T]) -> T:
        """Send a call with its retries, and return its result."""
        steps = exchange(call, self._settings, self._shared.position)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self._pause(step.seconds)
                    step = steps.send(None)
                else:
                    step = steps.send(self._attempt(call, step))
        except StopIteration as done:
            received: Received = done.value
        self._shared.learn(received)
        return call.decode(received.body)

    def _connect(self, settings: Settings) -> httpx2.Client:
        return httpx2.Client(**http_options(settings))

    def _attempt(self, call: Call[Any], step: Send) -> Received | Failed:
        until = time.monotonic() + step.timeout
        try:
            with self._opened(call, step) as response:
                return self._received(response, until)
        except httpx2.TransportError as error:
            return failed(error)

    @contextlib.contextmanager
    def _opened(self, call: Call[Any], step: Send) -> Iterator[httpx2.Response]:
        http = self._shared.http
        response = http.send(http.build_request(**request_options(call, step)), stream=True)
        try:
            yield response
        finally:
            response.close()

    def _received(self, response: httpx2.Response, until: float) -> Received | Failed:
        body = Collected(self._settings.max_reply_bytes)
        try:
            for piece in response.iter_bytes():
                body.add(piece)
                # The time-outs of httpx2 are for each piece.
                if time.monotonic() > until:
                    return Failed("timed_out", "no whole reply in time")
        except httpx2.DecodingError as error:
            raise InvalidReply(f"the reply is compressed, and damaged: {error}") from error
        return Received(response.status_code, response.headers, body.body())
