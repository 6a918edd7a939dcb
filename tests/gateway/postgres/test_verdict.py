"""Whether what a store tells proves that the indexes which have its last commit can answer."""

from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.postgres.history import Commit, Verdict, contradict, verdict

STORE = "0" * 32
ASKED = Commit(STORE, 5, UUID(int=5))
STEPS: Final = ("write", "fail over", "look", "look at the server before", "ask", "told")
_NUMBERS: Final = st.integers(0, 2)


def commit(number: int, mark: int | None = None) -> Commit:
    return Commit(STORE, number, UUID(int=number if mark is None else mark))


@pytest.mark.parametrize(
    ("found", "known_now", "asked", "seen", "expected"),
    [
        (commit(1), None, None, None, Verdict.ANSWER),
        (commit(5), UUID(int=5), ASKED, ASKED, Verdict.ANSWER),
        (commit(9), UUID(int=5), ASKED, ASKED, Verdict.ANSWER),
        (commit(4), None, ASKED, ASKED, Verdict.LOST),
        (commit(9), UUID(int=77), ASKED, ASKED, Verdict.LOST),
        (commit(9), None, ASKED, ASKED, Verdict.LOST),
        (Commit("1" * 32, 9, UUID(int=9)), UUID(int=5), ASKED, ASKED, Verdict.LOST),
        # An index has seen a commit meanwhile.
        (commit(6), UUID(int=5), ASKED, commit(7), Verdict.REPEAT),
        (commit(6), UUID(int=5), ASKED, commit(6), Verdict.ANSWER),
        (commit(6), UUID(int=5), ASKED, commit(6, mark=77), Verdict.REPEAT),
        (commit(1), None, None, commit(1, mark=77), Verdict.REPEAT),
    ],
)
def test_cases(found: Commit, known_now: UUID | None, asked: Commit | None, seen: Commit | None, expected: Verdict):
    assert verdict(found, known_now, asked, seen) is expected


def test_two_commits_of_one_number_are_of_two_histories():
    assert not contradict(commit(5), None)
    assert not contradict(commit(5), commit(5))
    assert not contradict(commit(5), commit(6))
    assert contradict(commit(5), commit(5, mark=77))


class Servers:
    """A store that commits, and whose standby takes over now and then without the last commits.

    The server before may still answer those who look, until the next one takes over.
    """

    def __init__(self) -> None:
        self.now = [commit(0)]
        self.before = self.now
        self._marks = 1000

    def write(self) -> None:
        self._marks += 1
        self.now.append(commit(len(self.now), self._marks))

    def fail_over(self, lost: int) -> None:
        self.before, self.now = self.now, self.now[: max(1, len(self.now) - lost)]


def told(server: list[Commit], asked: Commit | None) -> tuple[Commit, UUID | None]:
    known = server[asked.number].mark if asked is not None and asked.number < len(server) else None
    return server[-1], known


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "fail over", "look", "look at the server before", "ask", "told"]), _NUMBERS
        ),
        min_size=20,
        max_size=60,
    )
)
def test_an_index_that_has_the_position_has_the_history_of_the_store(steps: list[tuple[str, int]]):
    """Indexes look at the store, also between a question and its answer; commits are lost at any moment."""
    servers = Servers()
    seen: Commit | None = None
    indexes: list[Commit | None] = [None, None, None]
    fresh: set[int] = set()
    """The indexes that have looked at the store since the question."""
    question: tuple[Commit | None, Commit, UUID | None, list[Commit]] | None = None
    for step, number in steps:
        if step == "write":
            servers.write()
        elif step == "fail over":
            servers.fail_over(number)
        elif step.startswith("look"):
            # An index compares what it saw itself; another history ends it.
            server = servers.now if step == "look" else servers.before
            found, known_now = told(server, indexes[number])
            if verdict(found, known_now, indexes[number], indexes[number]) is Verdict.ANSWER:
                indexes[number] = found
                fresh = fresh | {number} if step == "look" else fresh - {number}
                if contradict(found, seen):
                    return  # no search is answered any more
                if seen is None or found.number > seen.number:
                    seen = found
        elif step == "ask":
            question, fresh = (seen, *told(servers.now, seen), list(servers.now)), set()
        elif question is not None:
            asked, found, known_now, history = question
            question = None
            if verdict(found, known_now, asked, seen) is not Verdict.ANSWER:
                continue
            if contradict(found, seen):
                return
            if seen is None or found.number > seen.number:
                seen = found
            for each, index in enumerate(indexes):
                if index is not None and index.number >= found.number and each not in fresh:
                    assert index in history  # it answers without asking
