"""The question for the store's last commit, which all waiting searches share."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.postgres.history import Commit
from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.postgres.loop_statement import LoopStatement, Row
from tandem_gateway.adapters.postgres.position_check import PositionCheck, last_commit
from tandem_gateway.errors import DeadlineExceeded, Overloaded, StorageUnavailable
from tests.gateway.postgres.conftest import OpenStore
from tests.support.stores import NOW, document

STORE = "0" * 32


def row(number: int, known_now: int | None) -> Row:
    mark = UUID(int=known_now).bytes if known_now is not None else None
    return [STORE.encode(), struct.pack(">q", number), UUID(int=number).bytes, mark]


class Asked:
    """A statement whose answers come when the test gives them."""

    def __init__(self) -> None:
        self.questions: list[tuple[int, asyncio.Future[Row]]] = []
        self.came = asyncio.Event()
        self.closed = 0

    async def run(self, values: Sequence[bytes]) -> Row:
        answer: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self.questions.append((struct.unpack(">q", values[0])[0], answer))
        self.came.set()
        return await answer

    def close(self) -> None:
        self.closed += 1

    async def question(self, number: int) -> tuple[int, asyncio.Future[Row]]:
        """Return a question, counted from 1, once it was asked."""
        while len(self.questions) < number:
            self.came.clear()
            await self.came.wait()
        return self.questions[number - 1]


def start(check: PositionCheck, timeout: float = 30.0) -> "asyncio.Task[Commit | None]":
    return asyncio.create_task(check.ask(timeout))


async def turn() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_search_that_arrives_during_a_question_waits_for_the_next_one():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    first = [start(check) for _ in range(3)]
    _, answer = await asked.question(1)
    later = [start(check) for _ in range(2)]
    await turn()
    assert len(asked.questions) == 1
    answer.set_result(row(1, None))
    assert [(await each).number for each in first] == [1, 1, 1]
    assert not any(each.done() for each in later)
    known, answer = await asked.question(2)
    assert known == 1
    answer.set_result(row(4, 1))
    assert [(await each).number for each in later] == [4, 4]


async def test_the_question_is_repeated_if_an_index_saw_a_later_commit_meanwhile():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    waiting = start(check)
    _, answer = await asked.question(1)
    check.seen(Commit(STORE, 7, UUID(int=7)))
    check.seen(Commit(STORE, 6, UUID(int=6)))
    answer.set_result(row(5, None))
    known, answer = await asked.question(2)
    assert (known, waiting.done()) == (7, False)
    answer.set_result(row(8, 7))
    found = await waiting
    assert found is not None
    assert found.number == 8


async def test_no_position_if_indexes_see_later_commits_again_and_again():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    waiting = start(check)
    for number in (1, 2, 3):
        known, answer = await asked.question(number)
        check.seen(Commit(STORE, 10 * number, UUID(int=10 * number)))
        answer.set_result(row(10 * number - 5, known or None))
    assert await waiting is None


async def test_another_history_is_refused_from_then_on():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    check.seen(Commit(STORE, 7, UUID(int=7)))
    waiting = start(check)
    _, answer = await asked.question(1)
    answer.set_result(row(9, 77))
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        await waiting
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        await check.ask(30.0)
    assert len(asked.questions) == 1


async def test_indexes_of_two_histories_are_refused():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    check.seen(Commit(STORE, 7, UUID(int=7)))
    waiting = start(check)
    _, answer = await asked.question(1)
    check.seen(Commit(STORE, 7, UUID(int=77)))
    answer.set_result(row(9, 7))
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        await waiting


async def test_an_error_reaches_all_that_wait_for_this_question_and_no_others():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    first = [start(check) for _ in range(2)]
    _, answer = await asked.question(1)
    later = start(check)
    await turn()
    answer.set_exception(psycopg.OperationalError("gone"))
    for each in first:
        with pytest.raises(StorageUnavailable):
            await each
    _, answer = await asked.question(2)
    answer.set_result(row(1, None))
    assert (await later) == Commit(STORE, 1, UUID(int=1))


async def test_a_search_that_is_cancelled_or_late_leaves_the_others():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=10)
    cancelled, late, patient = start(check), start(check, 0.0), start(check)
    _, answer = await asked.question(1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(DeadlineExceeded):
        await late
    answer.set_result(row(1, None))
    assert (await patient) is not None


async def test_the_number_of_waiting_searches_is_bounded():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=2)
    first = start(check)
    _, answer = await asked.question(1)
    waiting = [start(check) for _ in range(2)]
    await turn()
    with pytest.raises(Overloaded, match="2 searches wait for the database already, the limit is 2"):
        await check.ask(30.0)
    answer.set_result(row(1, None))
    await first
    _, answer = await asked.question(2)
    answer.set_result(row(1, 1))
    await asyncio.gather(*waiting)


async def test_the_connection_is_closed_after_the_question_under_way():
    asked = Asked()
    check = PositionCheck(asked, max_waiting=2)
    waiting = start(check)
    _, answer = await asked.question(1)
    check.close()
    assert not asked.closed
    answer.set_result(row(1, None))
    await waiting
    await turn()
    assert asked.closed == 1
    with pytest.raises(StorageUnavailable, match="the store is closed"):
        await check.ask(30.0)


def end_connections(url: str) -> None:
    with connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND query LIKE '%LEFT JOIN marks%'"
        )


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_connection_that_the_server_has_ended_is_made_again(url: str, open_store: OpenStore, prepared: bool):
    store = open_store()
    await store.accept("job", "default", [document("a")], NOW)
    check = PositionCheck(last_commit(url, prepared=prepared), max_waiting=10)
    for _ in range(3):
        found = await check.ask(30.0)
        assert found is not None
        assert found.number == store.position.last
        end_connections(url)
    check.close()


async def test_a_statement_whose_connection_ends_runs_again(url: str):
    sleeps = LoopStatement(url, "SELECT 1::bigint, pg_sleep($1) IS NULL", (701,))
    running = asyncio.create_task(sleeps.run([struct.pack(">d", 0.3)]))

    def terminated() -> bool:
        with connect(url) as connection:
            return bool(
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%' AND state = 'active'"
                ).fetchall()
            )

    while not await asyncio.to_thread(terminated):
        assert not running.done()
    assert await running == [struct.pack(">q", 1), b"\0"]
    sleeps.close()


async def test_a_statement_that_is_abandoned_leaves_no_answer_for_the_next(url: str):
    echo = LoopStatement(url, "SELECT $1, pg_sleep($2) IS NULL", (20, 701))
    for number in (1, 3):  # the first is abandoned while it connects, the other one while the server works
        abandoned = asyncio.create_task(echo.run([struct.pack(">q", number), struct.pack(">d", 5.0)]))
        await turn()
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        found = await echo.run([struct.pack(">q", number + 1), struct.pack(">d", 0.0)])
        assert found[0] == struct.pack(">q", number + 1)
    echo.close()


async def test_a_statement_that_the_server_refuses_is_an_error(url: str):
    for prepared in (True, False):
        wrong = LoopStatement(url, "SELECT nothing FROM nowhere", (), prepared=prepared)
        with pytest.raises(psycopg.errors.UndefinedTable):
            await wrong.run([])
        wrong.close()
    several = LoopStatement(url, "SELECT generate_series(1, 3)", ())
    with pytest.raises(psycopg.DataError, match="3 rows"):
        await several.run([])
    several.close()


async def test_a_server_that_is_not_there(tmp_path: Path):
    check = PositionCheck(last_commit(f"host={tmp_path} user=nobody"), max_waiting=10)
    with pytest.raises(StorageUnavailable):
        await check.ask(30.0)
    check.close()


async def test_what_the_feeds_of_the_indexes_have_seen_counts(url: str, open_store: OpenStore):
    store = open_store()
    await store.accept("job", "default", [document("a")], NOW)
    look: Callable[[Commit], None] = store.check.seen
    feed = PostgresIndexFeed(url, on_look=look)
    number = feed.version()
    assert await store.position.ask(30.0) == number
    with connect(url) as connection:  # as after the restore of a backup
        connection.execute("UPDATE store SET mark = gen_random_uuid()")
        connection.execute("UPDATE marks SET mark = gen_random_uuid() WHERE commit = %s", (number,))
    with pytest.raises(StorageUnavailable, match="start the gateway again"):
        await store.position.ask(30.0)
    feed.close()
