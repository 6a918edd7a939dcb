"""Runs a bulk ingest with threads that send the batches, beside the caller's thread, which does all else."""

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tandem_client.bulk.batches import Batch, Batcher, BulkOptions, Unsendable
from tandem_client.bulk.delivery import Delivered, deliver
from tandem_client.bulk.progress import Show
from tandem_client.bulk.resume import ResumeFile
from tandem_client.bulk.tally import IngestReport, IngestStopped, Tally
from tandem_client.call import several
from tandem_client.calls.ingesting import DocumentLike
from tandem_client.calls.jobs import wait_job
from tandem_client.errors import NotFound, TandemError
from tandem_client.methods import SyncSender


class Stopped(Exception):
    """The run stops, so a thread that waits to send again does not."""


class Stop:
    """Lets the threads of a run end early: its ``pause`` is the wait of their client."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def pause(self, seconds: float) -> None:
        """Wait, or raise Stopped once the run stops."""
        if self._event.wait(seconds):
            raise Stopped

    def set(self) -> None:
        """Stop the run."""
        self._event.set()


class BlockingIngest:
    """One run. The caller's thread reads documents, counts, and waits for jobs; the others send batches."""

    def __init__(self, sender: SyncSender, stop: Stop, options: BulkOptions, resume: ResumeFile, show: Show) -> None:
        self._sender = sender
        self._stop = stop
        self._options = options
        self._resume = resume
        self._show = show
        self._tally = Tally(options)
        self._running: dict[Future[list[Delivered]], Batch] = {}

    def run(self, documents: Iterable[DocumentLike]) -> IngestReport:
        """Send all documents.

        Raises:
            IngestStopped: of an error that every other batch would get too.
        """
        batcher = Batcher(self._options)
        pool = ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="tandem-ingest")
        try:
            for document in several(documents, "documents"):
                for found in batcher.add(document):
                    self._take(found, pool)
                self._tally.documents = batcher.read
            for found in batcher.rest():
                self._take(found, pool)
            while self._running:
                self._gather()
            while self._options.wait and self._tally.open_jobs:
                self._end_oldest_job()
        except TandemError as error:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            self._gather_rest()
            raise IngestStopped(self._tally.report(), error) from error
        except BaseException:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            self._gather_rest()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return self._tally.report()

    def _take(self, found: Batch | Unsendable, pool: ThreadPoolExecutor) -> None:
        if isinstance(found, Unsendable):
            self._tally.unsendable(found)
            return
        jobs = self._resume.jobs_of(found)
        if jobs is not None:
            self._tally.resumed(found, jobs)
        else:
            while len(self._running) >= self._options.concurrency:
                self._gather()
            self._running[pool.submit(self._deliver, found)] = found
        while self._tally.too_many_jobs():
            self._end_oldest_job()
        self._show(self._tally.report())

    def _deliver(self, batch: Batch) -> list[Delivered]:
        return self._sender.run(deliver(batch, self._resume.run, self._options))

    def _gather(self) -> None:
        """Wait for a batch under way, and count it."""
        ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in ended:
            batch = self._running.pop(future)
            self._count(batch, future.result())

    def _gather_rest(self) -> None:
        """Count what was sent before the run stopped, and remember it for the next run."""
        for future, batch in self._running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                self._count(batch, future.result())
        self._running.clear()

    def _count(self, batch: Batch, delivered: list[Delivered]) -> None:
        for outcome in delivered:
            self._tally.delivered(outcome)
        self._resume.done(batch, delivered)
        self._show(self._tally.report())

    def _end_oldest_job(self) -> None:
        oldest = self._tally.open_jobs[0]
        try:
            self._tally.ended(self._sender.run(wait_job(oldest.job_id, stall_seconds=self._options.stall_seconds)))
        except NotFound:
            self._tally.forgotten()
        self._show(self._tally.report())
