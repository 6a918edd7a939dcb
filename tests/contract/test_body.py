"""Reading a body within its limit, and noticing a client's disconnect."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from tandem_contract.decoding import InvalidMessage
from tandem_runtime.body import FED_BYTES, ClientGone, cancel_on_disconnect, feed_body, read_body
from tandem_runtime.memory import FREE_BYTES, MemoryBudget
from tandem_runtime.request_id import Message, Receive


def received(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        return await asyncio.Future()

    return receive


def chunk(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def test_chunks_are_joined_up_to_the_limit():
    receive = received(chunk(b"ab", more=True), chunk(b"", more=True), chunk(b"cd", more=False))
    assert await read_body({}, receive, 4) == b"abcd"


@pytest.mark.parametrize(
    "messages",
    [
        [chunk(b"abcde", more=False)],
        [chunk(b"abc", more=True), chunk(b"de", more=True), chunk(b"", more=False)],
        [chunk(b"abcd", more=True)] * 6,  # endless: reading stops after four times the limit
    ],
)
async def test_a_body_over_the_limit_is_refused(messages: list[Message]):
    with pytest.raises(InvalidMessage) as refused:
        await read_body({}, received(*messages), 4)
    assert refused.value.code == "body_too_large"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_leaves_nothing_in_the_memory_budget(declared: bool):
    budget = MemoryBudget(1 << 20, "SETTING")
    limit = 4 * FREE_BYTES
    scope = {"headers": [(b"content-length", b"%d" % (2 * limit))] if declared else []}

    async def refused() -> str:
        lease = budget.lease()
        part = chunk(b"x" * (limit // 2), more=True)
        with pytest.raises(InvalidMessage) as error:
            await read_body(scope, received(part, part, part, chunk(b"", more=False)), limit, lease=lease)
        code = error.value.code
        del error
        return code

    gc.collect()
    gc.disable()
    try:
        assert await refused() == "body_too_large"
        assert budget.held == 0
    finally:
        gc.enable()


async def test_an_error_of_a_body_over_the_limit_is_in_no_cycle_of_references():
    class Marker:
        """Goes when the frame of the caller goes."""

    marks: list[weakref.ref[Marker]] = []

    async def refused() -> None:
        marker = Marker()
        marks.append(weakref.ref(marker))
        await read_body({}, received(chunk(b"abc", more=True), chunk(b"de", more=False)), 4)

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(InvalidMessage):
            await refused()
        assert marks[0]() is None
    finally:
        gc.enable()


async def test_a_body_without_an_end_times_out():
    with pytest.raises(InvalidMessage) as refused:
        await read_body({}, received(chunk(b"ab", more=True)), 4, seconds=0.01)
    assert refused.value.code == "body_timeout"


async def test_a_disconnect_during_the_body_is_noticed():
    with pytest.raises(ClientGone):
        await read_body({}, received(chunk(b"ab", more=True), GONE), 4)


async def test_parts_of_a_body_are_fed_as_they_arrive_and_none_is_long():
    fed: list[bytes] = []
    long = bytes(range(256)) * 1024
    receive = received(chunk(b"ab", more=True), chunk(b"", more=True), chunk(long, more=False))
    await feed_body({}, receive, 1 << 20, fed.append)
    assert b"".join(fed) == b"ab" + long
    assert max(map(len, fed)) == FED_BYTES


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([chunk(b"abcde", more=False)], "body_too_large"),
        ([chunk(b"abc", more=True), chunk(b"de", more=True), chunk(b"", more=False)], "body_too_large"),
        ([chunk(b"abcd", more=True)] * 6, "body_too_large"),
        ([chunk(b"ab", more=True)], "body_timeout"),
    ],
)
async def test_a_body_over_its_limit_or_without_an_end_is_not_fed_on(messages: list[Message], code: str):
    fed: list[bytes] = []
    with pytest.raises(InvalidMessage) as refused:
        await feed_body({}, received(*messages), 4, fed.append, seconds=0.05)
    assert refused.value.code == code
    assert len(b"".join(fed)) <= 4


async def test_after_an_error_of_the_parser_the_rest_of_the_body_is_read_and_discarded():
    fed: list[bytes] = []

    def refuse(part: bytes) -> None:
        fed.append(part)
        raise KeyError("no")

    messages = [chunk(b"ab", more=True), chunk(b"cd", more=True), chunk(b"e", more=False)]
    with pytest.raises(KeyError):
        await feed_body({}, received(*messages), 100, refuse)
    assert fed == [b"ab"]


async def test_a_disconnect_while_a_body_is_fed_is_noticed():
    with pytest.raises(ClientGone):
        await feed_body({}, received(chunk(b"ab", more=True), GONE), 4, lambda part: None)


async def test_a_disconnect_cancels_the_work():
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Future()
        finally:
            cancelled.set()

    with pytest.raises(ClientGone):
        await cancel_on_disconnect({}, received(GONE), work())
    assert cancelled.is_set()


async def test_work_that_ends_first_is_returned_and_nothing_waits_on():
    async def work() -> str:
        return "done"

    before = asyncio.all_tasks()
    assert await cancel_on_disconnect({}, received(), work()) == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_cancellation_from_elsewhere_stays_one():
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Future()

    task = asyncio.create_task(cancel_on_disconnect({}, received(), work()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
