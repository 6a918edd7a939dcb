"""Whether what a store tells proves that the indexes which have its last commit can answer."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.postgres.history import Commit, Verdict, verdict

STORE = "0" * 32
ASKED = Commit(STORE, 5, UUID(int=5))


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


@dataclass
class Server:
    """A store that commits, and now and then loses its last commits."""

    commits: list[Commit] = field(default_factory=lambda: [commit(0)])
    marks: int = 1000

    def write(self) -> None:
        self.marks += 1
        self.commits.append(commit(len(self.commits), self.marks))

    def lose(self, count: int) -> None:
        del self.commits[max(1, len(self.commits) - count) :]

    def told(self, asked: Commit | None) -> tuple[Commit, UUID | None]:
        known = self.commits[asked.number].mark if asked is not None and asked.number < len(self.commits) else None
        return self.commits[-1], known


@given(
    st.lists(
        st.one_of(
            st.just(("write", 1)),
            st.integers(1, 4).map(lambda count: ("lose", count)),
            st.integers(0, 1).map(lambda index: ("look", index)),
            st.just(("ask", 0)),
            st.just(("told", 0)),
        ),
        min_size=20,
        max_size=60,
    )
)
def test_an_index_that_has_the_position_has_the_history_of_the_store(steps: list[tuple[str, int]]):
    """Two indexes look at the store, also between a question and its answer; commits are lost at any moment."""
    server = Server()
    seen: Commit | None = None
    indexes: list[Commit | None] = [None, None]
    question: tuple[Commit | None, Commit, UUID | None, list[Commit]] | None = None
    for step, number in steps:
        if step == "write":
            server.write()
        elif step == "lose":
            server.lose(number)
        elif step == "look":
            # An index compares what it saw itself; another history ends it.
            found, known_now = server.told(indexes[number])
            if verdict(found, known_now, indexes[number], indexes[number]) is Verdict.ANSWER:
                indexes[number] = found
                if seen is None or found.number > seen.number:
                    seen = found
        elif step == "ask":
            question = (seen, *server.told(seen), list(server.commits))
        elif question is not None:
            asked, found, known_now, history = question
            question = None
            if verdict(found, known_now, asked, seen) is not Verdict.ANSWER:
                continue
            if seen is None or found.number > seen.number:
                seen = found
            for index in indexes:
                if index is not None and index.number >= found.number:  # it would answer without asking
                    assert index == found or index in history
