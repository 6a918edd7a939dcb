"""The behaviour that all embedding queues share: leases, attempts, fairness, and the end of a document's wait."""

import asyncio
from collections import Counter

import pytest

from tandem_gateway.errors import FingerprintMismatch
from tandem_gateway.records.documents import PendingBatch
from tests.gateway.ports.backends import Backend
from tests.gateway.ports.queues import LEASE_SECONDS, Subject, embedded, rows, texts


@pytest.fixture
def subject(backend: Backend) -> Subject:
    return Subject(backend)


async def claim(subject: Subject, worker: str = "a", limit: int = 10, without: set[int] | None = None) -> PendingBatch:
    found = await subject.queue.claim(worker, limit, LEASE_SECONDS, without or set())
    assert found is not None
    return found


async def nothing_is_left(subject: Subject, without: set[int] | None = None) -> bool:
    return await subject.queue.claim("nobody", 10, LEASE_SECONDS, without or set()) is None


async def test_an_empty_queue_gives_nothing(subject: Subject):
    assert await nothing_is_left(subject)


async def test_a_claim_has_the_oldest_documents_that_nobody_holds(subject: Subject):
    await subject.add("c", "z", "y", "x")
    await subject.add("c", "a")
    first = await claim(subject, limit=2)
    assert (first.collection, texts(first), first.fingerprint) == ("c", ["z", "y"], None)
    assert [waiting.attempts for waiting in first.passages] == [0, 0]
    assert texts(await claim(subject, "b")) == ["x", "a"]
    assert await nothing_is_left(subject)


async def test_a_batch_is_bounded_by_its_bytes_and_a_longer_text_comes_alone(subject: Subject):
    long, half = "l" * 150, "\U0001f600" * 12
    await subject.add("c", half, half + "!", half + "?", long, "s")
    assert texts(await claim(subject)) == [half, half + "!"]
    assert texts(await claim(subject)) == [half + "?"]
    assert texts(await claim(subject)) == [long]
    assert texts(await claim(subject)) == ["s"]


async def test_excluded_collections_are_passed_over(subject: Subject):
    await subject.add("c", "1")
    await subject.add("d", "2")
    first = await claim(subject)
    await subject.queue.release("a", rows(first))
    other = await claim(subject, without={first.collection_id})
    assert {first.collection, other.collection} == {"c", "d"}
    assert await nothing_is_left(subject, {first.collection_id, other.collection_id})


async def test_released_documents_are_claimed_again_without_an_attempt(subject: Subject):
    await subject.add("c", "1", "2", "3")
    held = await claim(subject)
    await subject.queue.release("a", rows(held)[:2])
    again = await claim(subject, "b")
    assert [(waiting.text, waiting.attempts) for waiting in again.passages] == [("1", 0), ("2", 0)]


async def test_only_the_holder_releases(subject: Subject):
    await subject.add("c", "1")
    held = await claim(subject)
    await subject.queue.release("b", rows(held), suspect=True)
    assert await nothing_is_left(subject)


async def test_a_suspect_has_an_attempt_and_comes_alone_and_first(subject: Subject):
    await subject.add("c", "1", "2", "3", "4")
    held = await claim(subject)
    await subject.queue.release("a", rows(held)[1:3], suspect=True)
    await subject.queue.release("a", rows(held))
    second = await claim(subject)
    assert [(waiting.text, waiting.attempts) for waiting in second.passages] == [("2", 1)]
    assert texts(await claim(subject)) == ["3"]
    assert texts(await claim(subject)) == ["1", "4"]
    await subject.queue.release("a", rows(second), suspect=True)
    third = await claim(subject)
    assert [(waiting.text, waiting.attempts) for waiting in third.passages] == [("2", 2)]


async def test_a_lease_that_runs_out_frees_its_documents_with_an_attempt_each(subject: Subject):
    await subject.add("c", "1", "2")
    await claim(subject, "dead")
    subject.now += LEASE_SECONDS - 0.01
    assert await nothing_is_left(subject)
    subject.now += 0.01
    taken = [await claim(subject, "b"), await claim(subject, "b")]
    assert [(waiting.text, waiting.attempts) for batch in taken for waiting in batch.passages] == [("1", 1), ("2", 1)]


async def test_an_extended_lease_runs_out_later(subject: Subject):
    await subject.add("c", "1", "2")
    held = rows(await claim(subject))
    await subject.queue.release("a", held[1:])
    subject.now += LEASE_SECONDS - 1
    assert await subject.queue.extend("a", held, LEASE_SECONDS) == held[:1]
    assert await subject.queue.extend("b", held, LEASE_SECONDS) == []
    subject.now += LEASE_SECONDS - 0.01
    assert texts(await claim(subject, "b")) == ["2"]
    assert await nothing_is_left(subject)
    subject.now += 0.01
    assert await subject.queue.extend("a", held, LEASE_SECONDS) == []
    assert texts(await claim(subject, "b")) == ["1"]


async def test_completed_documents_have_vectors_and_wait_no_more(subject: Subject):
    await subject.add("c", "1", "2", "3")
    held = await claim(subject, limit=2)
    assert await subject.queue.complete(embedded(held)) == 2
    assert [await subject.embedded("c", text) for text in ("1", "2", "3")] == [True, True, False]
    rest = await claim(subject)
    assert (texts(rest), rest.fingerprint) == (["3"], "f" * 32)
    subject.now += LEASE_SECONDS
    assert texts(await claim(subject)) == ["3"]


async def test_a_worker_whose_lease_ran_out_may_complete_before_or_after_the_next(subject: Subject):
    await subject.add("c", "1", "2")
    slow = await claim(subject, "slow")
    subject.now += LEASE_SECONDS
    fast = await claim(subject, "fast")
    assert texts(fast) == ["1"]
    assert await subject.queue.complete(embedded(fast)) == 1
    assert await subject.queue.complete(embedded(slow)) == 1
    assert await subject.queue.complete(embedded(slow)) == 0
    assert [await subject.embedded("c", text) for text in ("1", "2")] == [True, True]
    await subject.queue.release("fast", rows(fast), suspect=True)
    assert await nothing_is_left(subject)


async def test_a_document_deleted_while_it_is_held_is_skipped_and_holds_nothing_up(subject: Subject):
    await subject.add("c", "1", "2")
    held = await claim(subject)
    await subject.delete("c", "1")
    await subject.add("c", "3")
    assert texts(await claim(subject, "b")) == ["3"]
    assert await subject.queue.complete(embedded(held)) == 1


async def test_vectors_of_another_model_are_refused_and_the_documents_stay_leased(subject: Subject):
    await subject.add("c", "1")
    await subject.queue.complete(embedded(await claim(subject)))
    await subject.add("c", "2")
    held = await claim(subject)
    with pytest.raises(FingerprintMismatch, match="c"):
        await subject.queue.complete(embedded(held, "e" * 32))
    assert await nothing_is_left(subject)
    assert not await subject.embedded("c", "2")
    await subject.queue.release("a", rows(held))
    assert texts(await claim(subject)) == ["2"]


async def test_a_failed_document_waits_no_more(subject: Subject):
    await subject.add("c", "1", "2")
    held = await claim(subject)
    await subject.queue.fail(rows(held)[0], "it was refused")
    await subject.queue.fail(rows(held)[0], "again")
    await subject.queue.release("a", rows(held), suspect=True)
    assert texts(await claim(subject)) == ["2"]
    assert await nothing_is_left(subject)
    assert await subject.failed("c") == 1


async def test_a_small_collection_does_not_wait_behind_a_large_one(subject: Subject):
    await subject.add("large", *(f"l{number}" for number in range(40)))
    first = await claim(subject)
    await subject.add("small", "s1", "s2")
    assert texts(await claim(subject)) == ["s1", "s2"]
    assert (await claim(subject)).collection == "large"
    await subject.queue.complete(embedded(first))


async def test_collections_with_equal_leases_take_turns(subject: Subject):
    for name in "abc":
        await subject.add(name, *(f"{name}{number}" for number in range(9)))
    served = []
    for _ in range(9):
        batch = await claim(subject, limit=2)
        served.append(batch.collection)
        await subject.queue.complete(embedded(batch))
    assert served == ["a", "b", "c"] * 3


async def test_a_collection_with_a_long_call_gets_no_other_before_those_without_one(subject: Subject):
    for name in "ab":
        await subject.add(name, *(f"{name}{number}" for number in range(9)))
    await claim(subject, limit=2)
    for _ in range(3):
        batch = await claim(subject, limit=2)
        assert batch.collection == "b"
        await subject.queue.complete(embedded(batch))


async def test_single_documents_of_collections_that_come_and_go_starve_no_large_one(subject: Subject):
    await subject.add("large", *(f"l{number}" for number in range(40)))
    served: Counter[str] = Counter()
    for number in range(12):
        for name in ("b", "c", f"new{number}"):
            await subject.add(name, f"{name} {number}")
        for _ in range(2):
            batch = await claim(subject, limit=1)
            served[batch.collection] += 1
            await subject.queue.complete(embedded(batch))
    assert served["large"] >= 2


async def test_concurrent_claims_share_no_document(subject: Subject):
    await subject.add("c", *(f"t{number:02}" for number in range(20)))
    claims = [subject.queue.claim(f"w{number}", 3, LEASE_SECONDS) for number in range(8)]
    batches = await asyncio.gather(*claims)
    taken = [text for batch in batches for text in texts(batch)]
    assert taken == [f"t{number:02}" for number in range(20)]
    assert batches[7] is None


async def test_a_cancelled_claim_leases_nothing(subject: Subject):
    await subject.add("c", "1")
    claiming = asyncio.ensure_future(subject.queue.claim("a", 10, LEASE_SECONDS))
    for _ in range(3):
        await asyncio.sleep(0)
    if claiming.cancel():
        with pytest.raises(asyncio.CancelledError):
            await claiming
    else:
        await subject.queue.release("a", rows(await claiming))
    assert texts(await claim(subject)) == ["1"]


async def test_the_owners_of_a_collection_take_turns(subject: Subject):
    await subject.add("c", "before")
    await subject.add("c", *(f"m{number}" for number in range(9)), owner="many")
    await subject.add("c", "f0", "f1", owner="few")
    await subject.add("c", "m9", owner="many")
    claims = [texts(await claim(subject, f"worker {number}", limit=2)) for number in range(7)]
    assert claims == [
        ["before", "m0"], ["m1", "m2"], ["f0", "f1"], ["m3", "m4"], ["m5", "m6"], ["m7", "m8"], ["m9"],
    ]  # fmt: skip
    assert await nothing_is_left(subject)


async def test_an_owner_with_many_documents_delays_another_by_a_claim(subject: Subject):
    await subject.add("c", *(f"m{number}" for number in range(50)), owner="many")
    held = await claim(subject, limit=5)
    await subject.add("c", "f0", owner="few")
    await subject.queue.complete(embedded(held))
    following = [texts(await claim(subject, limit=5))[0] for _ in range(2)]
    assert "f0" in following
    await subject.add("c", "f1", owner="few")
    following = [texts(await claim(subject, limit=5))[0] for _ in range(2)]
    assert "f1" in following


async def test_owners_that_send_single_documents_in_turns_fill_a_claim(subject: Subject):
    for number in range(8):
        await subject.add("c", f"{number}", owner="a" if number % 2 else "b")
    found = texts(await claim(subject, limit=6))
    assert found[:4] in (["1", "3", "5", "7"], ["0", "2", "4", "6"])
    assert len(found) == 6
    assert len(texts(await claim(subject, limit=6))) == 2
    assert await nothing_is_left(subject)


async def test_what_fills_the_claim_of_another_owner_was_not_tried_before(subject: Subject):
    await subject.add("c", "a0", "a1", owner="a")
    await subject.queue.release("a", rows(await claim(subject)), suspect=True)
    await subject.add("c", "b0", owner="b")
    assert texts(await claim(subject)) == ["b0"]
    assert [texts(await claim(subject)) for _ in range(2)] == [["a0"], ["a1"]]
    assert await nothing_is_left(subject)


async def test_what_an_owner_gives_back_comes_again(subject: Subject):
    await subject.add("c", "a0", "a1", owner="a")
    await subject.add("c", "b0", owner="b")
    first = await claim(subject, limit=2)
    await subject.queue.complete(embedded(await claim(subject, limit=2)))
    await subject.queue.release("a", rows(first))
    assert texts(await claim(subject)) == texts(first)
    assert await nothing_is_left(subject)


async def test_a_new_version_of_a_document_belongs_to_its_own_owner(subject: Subject):
    await subject.add("c", "x", "y", owner="a")
    await subject.delete("c", "x")
    await subject.add("c", "x", owner="b")
    claims = [texts(await claim(subject, limit=1)) for _ in range(2)]
    assert sorted(claims) == [["x"], ["y"]]
    assert await nothing_is_left(subject)
