"""Asks the store for its last commit, once for all searches that wait.

A search finds all that was acknowledged before it if the store was asked after the search had arrived. While a question
is under way, searches that arrive wait for the next one. So there is one question at a time, however many searches.

The answer also proves that the store has the history that the indexes have: see ``history``.
"""

import asyncio
import struct
import threading
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import psycopg

from tandem_gateway.adapters.postgres.connection import explain
from tandem_gateway.adapters.postgres.history import SEEN, Commit, Verdict, contradict, lost_commits, verdict
from tandem_gateway.adapters.postgres.loop_statement import LoopStatement, Row
from tandem_gateway.errors import DeadlineExceeded, GatewayError, Overloaded, StorageUnavailable

_BIGINT: Final = 20
"""PostgreSQL's number of the type."""
_NUMBER: Final = struct.Struct(">q")
_ATTEMPTS: Final = 3

Waiting = asyncio.Future[Commit | None]


class Statement(Protocol):
    """Asks the store; see ``LoopStatement``."""

    async def run(self, values: Sequence[bytes]) -> Row:
        """Return the row; raises ``psycopg.Error``."""
        ...

    def close(self) -> None:
        """Close the connection; blocks."""
        ...


def last_commit(url: str, *, prepared: bool = True) -> LoopStatement:
    """Return the statement of ``PositionCheck``; see ``LoopStatement``."""
    return LoopStatement(url, SEEN + "$1", (_BIGINT,), prepared=prepared)


class PositionCheck:
    """Asks for the last commit; see the module. One event loop owns it."""

    def __init__(self, statement: Statement, *, max_waiting: int) -> None:
        """Make it.

        Args:
            statement: see ``last_commit``; ``close`` closes it.
            max_waiting: maximum number of callers that wait; over it, ``ask`` raises Overloaded.
        """
        self._statement = statement
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._seen: Commit | None = None
        self._lost: StorageUnavailable | None = None
        self._waiting: list[Waiting] = []
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def seen(self, commit: Commit) -> None:
        """Note a commit that an index has seen; any thread may call it, before the index uses what it has seen."""
        with self._lock:
            if contradict(commit, self._seen):
                self._lost = lost_commits(commit, self._seen)  # one index follows commits that the store has lost
            elif self._seen is None or commit.number > self._seen.number:
                self._seen = commit

    async def ask(self, timeout: float) -> Commit | None:
        """Return the last commit that the store has now; None if it was not proved to follow what the indexes have.

        Raises:
            DeadlineExceeded: the store did not answer within ``timeout`` seconds.
            Overloaded: too many callers wait.
            StorageUnavailable: the store is closed, cannot be reached, or has another history than the indexes.
        """
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(
                f"{len(self._waiting)} searches wait for the database already, the limit is {self._max_waiting}"
            )
        loop = asyncio.get_running_loop()
        answer: Waiting = loop.create_future()
        self._waiting.append(answer)
        if self._asking is None:
            # The task starts in the next iteration of the event loop, so searches that arrive in this one join it.
            self._asking = loop.create_task(self._ask_for_all(), name="position check")
        deadline = loop.call_later(timeout, _expire, answer)
        try:
            return await answer
        finally:
            deadline.cancel()
            del answer  # breaks the reference cycle: error, traceback, this frame, future, error

    def close(self) -> None:
        """Close the connection, at the latest when the question under way has its answer; blocks."""
        self._closed = True
        if self._asking is None:
            self._statement.close()

    async def _ask_for_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    found = await self._ask()
                except GatewayError as error:
                    _fail(batch, error)
                except BaseException as error:  # every search needs an outcome, whatever the error
                    _fail(batch + self._waiting, error)
                    self._waiting = []
                    raise
                else:
                    for each in batch:
                        if not each.done():
                            each.set_result(found)
        finally:
            self._asking = None
            if self._closed:
                self._statement.close()

    async def _ask(self) -> Commit | None:
        for _ in range(_ATTEMPTS):
            if self._lost is not None:
                raise StorageUnavailable(str(self._lost), detail=self._lost.detail)
            asked = self._seen
            try:
                row = await self._statement.run([_NUMBER.pack(asked.number if asked is not None else 0)])
            except psycopg.Error as error:
                raise explain(error) from error
            found, known_now = _commit(row)
            judged = verdict(found, known_now, asked, self._seen)
            if judged is Verdict.ANSWER:
                self.seen(found)
                if self._lost is None:
                    return found
            elif judged is Verdict.LOST:
                self._lost = lost_commits(found, asked)
        return None


def _commit(row: Row) -> tuple[Commit, UUID | None]:
    store_id, number, mark, known_now = row
    assert store_id is not None
    assert number is not None
    assert mark is not None
    found = Commit(store_id.decode(), _NUMBER.unpack(number)[0], UUID(bytes=mark))
    return found, UUID(bytes=known_now) if known_now is not None else None


def _fail(batch: list[Waiting], error: BaseException) -> None:
    for each in batch:
        if not each.done():
            each.set_exception(error if isinstance(error, Exception) else StorageUnavailable("the store is closed"))
            each.exception()  # marks it as retrieved: a caller that was cancelled meanwhile does not do so


def _expire(answer: Waiting) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("the store did not tell its position in time"))
