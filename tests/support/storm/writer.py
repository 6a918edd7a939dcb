"""Clients of a gateway that may die at any moment: each writes to collections of its own and notes the replies."""

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from tandem_tools.client import ApiError
from tests.support.stack import Client
from tests.support.storm.check import hits_of, read
from tests.support.storm.model import Change, CollectionModel, Content, JobModel, Violation, deleted, dropped, ingested
from tests.support.texts import distinct_texts

UNANSWERED = (0, 503, 504)
"""Status of a write that may have taken effect; 0 is no reply."""
NOT_NOW = (429,)
LARGE = 1600
"""Documents of the large collection: the gateway removes 500 of a deleted collection at a time."""

_SMALL = 40
_SENTENCES = distinct_texts(200, seed=30)
T = TypeVar("T")


class _Unanswered(Exception):
    """The gateway gave no reply: the round is over for this client."""


class Writer:
    """Writes to one collection and reads it, one request after the other, until a write has no reply."""

    def __init__(self, model: CollectionModel, numbers: "itertools.count[int]") -> None:
        self.model = model
        self.jobs: dict[str, JobModel] = {}
        """Acknowledged jobs by id, the oldest first."""
        self.acknowledged = 0
        self.unanswered = 0
        self._numbers = numbers

    def run(self, url: str, draw: random.Random, stop: threading.Event) -> None:
        """Send requests until ``stop``, or until one has no reply.

        Raises:
            Violation: if a reply contradicts the model.
        """
        with Client(url, timeout=60.0) as client:
            try:
                while not stop.is_set():
                    self._step(client, draw)
            except _Unanswered:
                pass

    def _step(self, client: Client, draw: random.Random) -> None:
        steps: list[tuple[Callable[[Client, random.Random], None], float]] = [
            (self._ingest, 4),
            (self._update_metadata, 2),
            (self._delete, 2),
            (self._drop, 0.2),
            (self._search, 3),
            (self._read, 2),
            (self._read_job, 1),
        ]
        (step,) = draw.choices([step for step, _ in steps], [weight for _, weight in steps])
        step(client, draw)

    def _ingest(self, client: Client, draw: random.Random) -> None:
        ids = {f"d{draw.randrange(_SMALL)}" for _ in range(draw.randint(1, 8))}
        self._send(client, {doc_id: self._content(draw) for doc_id in ids})

    def _update_metadata(self, client: Client, draw: random.Random) -> None:
        if world := self.model.world:
            ids = draw.sample(sorted(world), min(3, len(world)))
            # The last one may be sent as it is.
            numbers = [next(self._numbers) for _ in ids[1:]] + [draw.choice([world[ids[0]].n, next(self._numbers)])]
            self._send(
                client, {key: Content(world[key].text, n) for key, n in zip(reversed(ids), numbers, strict=True)}
            )

    def _delete(self, client: Client, draw: random.Random) -> None:
        doc_id = f"d{draw.randrange(_SMALL)}"
        there = doc_id in (self.model.world or {})
        answer = self._write(lambda: client.delete_document(doc_id, self.model.name), deleted(doc_id))
        if answer is not None and answer != there:
            raise Violation(f"{self.model.name}: the deletion of {doc_id} answered {answer}, expected {there}")

    def _drop(self, client: Client, draw: random.Random) -> None:
        there = self.model.world is not None
        answer = self._write(lambda: client.delete_collection(self.model.name), dropped)
        if answer is not None and answer != there:
            raise Violation(f"{self.model.name}: the deletion of the collection answered {answer}, expected {there}")

    def _search(self, client: Client, draw: random.Random) -> None:
        known = [*(self.model.world or {}).values(), *self.model.gone]
        text = draw.choice(known).text if known else "anything"
        mode = draw.choice(["dense", "lexical", "auto"])
        found = _asked(lambda: client.search(text, 10, self.model.name, mode))
        if found is not None:
            self.model.check_hits(hits_of(found.results), embedded=False)

    def _read(self, client: Client, draw: random.Random) -> None:
        if self.model.used:
            doc_id = draw.choice(sorted(self.model.used))
            try:
                found = read(client, self.model, doc_id)
            except ApiError as error:
                if error.status not in UNANSWERED:
                    raise
                raise _Unanswered from error
            expected = (self.model.world or {}).get(doc_id)
            if found != expected:
                raise Violation(f"{self.model.name}: {doc_id} is {found}, expected {expected}")

    def _read_job(self, client: Client, draw: random.Random) -> None:
        if self.jobs:
            job_id, job = draw.choice([*self.jobs.items()][-20:])
            if answer := _asked(lambda: client.job(job_id)):
                job.check(answer, finished=False)

    def _send(self, client: Client, documents: Mapping[str, Content]) -> None:
        world = self.model.world or {}
        same = sum(world.get(doc_id) == content for doc_id, content in documents.items())
        body = [{"id": key, "text": each.text, "metadata": {"n": each.n}} for key, each in documents.items()]
        job = self._write(lambda: client.ingest(body, self.model.name), ingested(documents), documents)
        if job is not None:
            self.jobs[job.job_id] = JobModel(len(body), same)

    def _write(self, send: Callable[[], T], change: Change, documents: Mapping[str, Content] | None = None) -> T | None:
        """Send a write and note it; return the reply, or None if the gateway has too much to do."""
        try:
            reply = send()
        except ApiError as error:
            if error.status in NOT_NOW:
                return None
            if error.status not in UNANSWERED:
                raise
            self.unanswered += 1
            self.model.wrote(change, documents, acknowledged=False)
            raise _Unanswered from error
        self.acknowledged += 1
        self.model.wrote(change, documents, acknowledged=True)
        return reply

    def _content(self, draw: random.Random) -> Content:
        number = next(self._numbers)
        return Content(f"{draw.choice(_SENTENCES)} {_word(number)}", number)


class LargeWriter(Writer):
    """Fills a large collection, deletes it, and makes a smaller one of the same name while its content is purged."""

    def _step(self, client: Client, draw: random.Random) -> None:
        count = len(self.model.world or {})
        if count >= LARGE or (count and draw.random() < 0.1):
            self._drop(client, draw)
            self._fill(client, draw, draw.choice([0, 5, 400]))
        else:
            self._fill(client, draw, 400)
        for _ in range(5):
            draw.choice([self._search, self._read, self._read_job])(client, draw)

    def _fill(self, client: Client, draw: random.Random, count: int) -> None:
        first = len(self.model.world or {})
        if count:
            self._send(client, {f"large-{first + number}": self._content(draw) for number in range(count)})


def _asked(ask: Callable[[], T]) -> T | None:
    """Return the reply to a read; None without the collection, or while the keyword index is built."""
    try:
        return ask()
    except ApiError as error:
        if error.status == 0:
            raise _Unanswered from error
        if error.status in (404, *UNANSWERED, *NOT_NOW):
            return None
        raise


def _word(number: int) -> str:
    """Return a word of its own for each number, which no stemmer takes for another one."""
    letters = ""
    while number or not letters:
        number, digit = divmod(number, 16)
        letters += "bcdfghjklmnpqrtv"[digit]
    return f"z{letters}z"
