"""The turns of the owners of waiting documents: what is found, and how long one with few documents waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters import owner_turns
from tandem_gateway.adapters.owner_turns import DocumentRange, OwnerTurns

C = 1
Waiting = dict[int, str | None]


def taken(waiting: Waiting, numbers: list[int]) -> list[int]:
    for number in numbers:
        del waiting[number]
    return numbers


def claim(turns: OwnerTurns, waiting: Waiting, limit: int) -> list[int]:
    """Return the documents of a claim, as a store finds them, and take them away."""
    turns.keep([C])
    for owner, ranges in turns.lanes(C):
        for each in list(ranges):
            inside = sorted(number for number in waiting if each.first <= number <= each.last)
            if not inside:
                turns.finished(C, owner, each)
                continue
            turns.serve(C, owner)
            return taken(waiting, inside[:limit])
    return taken(waiting, sorted(waiting)[:limit])


ACCEPTED = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(1, 8)), max_size=20)


@given(ACCEPTED, st.integers(1, 5))
def test_every_document_is_claimed_once(accepted: list[tuple[str | None, int]], limit: int) -> None:
    turns, waiting, last = OwnerTurns(), Waiting(), 0
    for owner, count in accepted:
        waiting.update(dict.fromkeys(range(last + 1, last + count + 1), owner))
        if owner is not None:
            turns.note(C, last + 1, last + count, owner)
        last += count
    claimed: list[int] = []
    while found := claim(turns, waiting, limit):
        claimed += found
    assert sorted(claimed) == list(range(1, last + 1))


@given(st.integers(2, 6), st.integers(50, 200), st.integers(1, 10))
def test_an_owner_with_few_documents_waits_for_one_claim_of_each_other(owners: int, many: int, limit: int) -> None:
    turns, waiting, last = OwnerTurns(), Waiting(), 0
    for owner in range(owners):
        waiting.update(dict.fromkeys(range(last + 1, last + many + 1), f"many {owner}"))
        turns.note(C, last + 1, last + many, f"many {owner}")
        last += many
    for _ in range(owners):
        claim(turns, waiting, limit)
    for _ in range(5):  # a tenant that sends one document after the other
        last += 1
        waiting[last] = "few"
        turns.note(C, last, last, "few")
        claims = 0
        while last in waiting:
            claim(turns, waiting, limit)
            claims += 1
        assert claims <= owners + 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_turns, "MAX_OWNERS", 3)
    monkeypatch.setattr(owner_turns, "MAX_RANGES", 2)
    turns = OwnerTurns()
    for number in range(1, 41):
        turns.note(C, 2 * number, 2 * number, f"owner {number % 10}")
        turns.serve(C, f"owner {number % 10}")
    turns.keep([C])
    lanes = turns.lanes(C)
    assert len(lanes) <= 1 + 3 + 1  # what came before, three owners and the others
    assert all(len(list(ranges)) <= 2 for _, ranges in lanes)
    covered = {number for _, ranges in lanes for each in ranges for number in range(each.first, each.last + 1)}
    assert covered >= {2 * number for number in range(1, 41)}
    assert len(turns._served[C]) <= 6


def test_neighbouring_ranges_of_an_owner_are_one_and_a_deleted_collection_is_forgotten() -> None:
    turns = OwnerTurns()
    turns.note(C, 1, 5, "a")
    turns.note(C, 6, 9, "a")
    turns.keep([C])
    assert list(dict(turns.lanes(C))["a"]) == [DocumentRange(1, 9)]
    turns.keep([])
    assert turns.lanes(C) == []
