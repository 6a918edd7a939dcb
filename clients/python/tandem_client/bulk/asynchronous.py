"""Runs a bulk ingest with tasks that send the batches, beside the caller's task, which does all else."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tandem_client.bulk.batches import Batch, Batcher, BulkOptions, Unsendable
from tandem_client.bulk.delivery import deliver
from tandem_client.bulk.progress import Show
from tandem_client.bulk.resume import ResumeFile
from tandem_client.bulk.tally import IngestReport, IngestStopped, Tally
from tandem_client.call import several
from tandem_client.calls.ingesting import DocumentLike
from tandem_client.calls.jobs import wait_job
from tandem_client.errors import NotFound, TandemError
from tandem_client.methods import AsyncSender


class AsynchronousIngest:
    """One run. The caller's task reads documents and waits for jobs; the others send batches and count them."""

    def __init__(self, sender: AsyncSender, options: BulkOptions, resume: ResumeFile, show: Show) -> None:
        self._sender = sender
        self._options = options
        self._resume = resume
        self._show = show
        self._tally = Tally(options)
        self._error: BaseException | None = None

    async def run(self, documents: Iterable[DocumentLike] | AsyncIterable[DocumentLike]) -> IngestReport:
        """Send all documents.

        Raises:
            IngestStopped: of an error that every other batch would get too.
        """
        # A queue of no items: a batch is handed over when a task is free, which bounds the memory.
        hand, take = anyio.create_memory_object_stream[Batch](0)
        async with anyio.create_task_group() as tasks:
            for _ in range(self._options.concurrency):
                tasks.start_soon(self._work, take.clone(), tasks.cancel_scope)
            take.close()
            # An exception that left the group would come out in an ExceptionGroup.
            try:
                await self._read(documents, hand)
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:
                self._error = self._error or error
                tasks.cancel_scope.cancel()
            finally:
                hand.close()
        try:
            while self._error is None and self._options.wait and self._tally.open_jobs:
                await self._end_oldest_job()
        except TandemError as error:
            self._error = error
        if isinstance(self._error, TandemError):
            raise IngestStopped(self._tally.report(), self._error) from self._error
        if self._error is not None:
            raise self._error
        return self._tally.report()

    async def _read(
        self, documents: Iterable[DocumentLike] | AsyncIterable[DocumentLike], hand: MemoryObjectSendStream[Batch]
    ) -> None:
        batcher = Batcher(self._options)
        async for document in _each(documents):
            for found in batcher.add(document):
                await self._take(found, hand)
            self._tally.documents = batcher.read
        for found in batcher.rest():
            await self._take(found, hand)

    async def _take(self, found: Batch | Unsendable, hand: MemoryObjectSendStream[Batch]) -> None:
        if isinstance(found, Unsendable):
            self._tally.unsendable(found)
            return
        jobs = self._resume.jobs_of(found)
        if jobs is not None:
            self._tally.resumed(found, jobs)
            await anyio.lowlevel.checkpoint()
        else:
            await hand.send(found)
        while self._tally.too_many_jobs():
            await self._end_oldest_job()
        self._show(self._tally.report())

    async def _work(self, take: MemoryObjectReceiveStream[Batch], scope: anyio.CancelScope) -> None:
        with take:
            async for batch in take:
                try:
                    delivered = await self._sender.run(deliver(batch, self._resume.run, self._options))
                except Exception as error:
                    self._error = self._error or error
                    scope.cancel()
                    return
                for outcome in delivered:
                    self._tally.delivered(outcome)
                self._resume.done(batch, delivered)
                self._show(self._tally.report())

    async def _end_oldest_job(self) -> None:
        oldest = self._tally.open_jobs[0]
        try:
            job = await self._sender.run(wait_job(oldest.job_id, stall_seconds=self._options.stall_seconds))
        except NotFound:
            self._tally.forgotten()
        else:
            self._tally.ended(job)
        self._show(self._tally.report())


async def _each(documents: Iterable[DocumentLike] | AsyncIterable[DocumentLike]) -> AsyncIterator[DocumentLike]:
    if isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document
    else:
        for document in several(documents, "documents"):
            yield document
