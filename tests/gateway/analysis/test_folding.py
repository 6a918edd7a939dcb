"""Folding takes linear time, and gives canonically equivalent texts the same spelling."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.analysis import folding
from tandem_gateway.analysis.folding import fold

MARKS = {
    "Latin": "\u0301\u0327",
    "Latin, two marks in one character": "\u0344\u0327",
    "Hebrew": "\u05c1\u05b0",
    "Arabic": "\u0651\u064b",
    "Devanagari": "\u094d\u093c",
    "Tibetan": "\u0f72\u0f71",
    "Tibetan, two marks in one character of class 0": "\u0f73\u0f81",
    "Japanese, half-width": "\uff9e\u3099\u302a",
    "Musical": "\U0001d16d\U0001d165",
}
RUNS = st.lists(
    st.tuples(st.sampled_from(["", "a", "é", "한", "か", "क", "\u200b", " "]), st.text("".join(MARKS.values())))
).map(lambda parts: "".join(base + marks * 9 for base, marks in parts))


def exchanges(text: str) -> int:
    """Return the number of swaps of neighbours that put a text's marks in canonical order.

    ``unicodedata.normalize`` needs as many steps, and holds the GIL meanwhile.
    """
    count = 0
    seen: Counter[int] = Counter()
    for character in "".join(unicodedata.normalize("NFKD", character) for character in text):
        order = unicodedata.combining(character)
        if order:
            count += sum(times for other, times in seen.items() if other > order)
            seen[order] += 1
        else:
            seen.clear()
    return count


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of swaps of each normalisation of a whole text."""
    found: list[int] = []

    def normalize(form: str, text: str) -> str:
        found.append(exchanges(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(folding, "normalize", normalize)
    return found


@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
@pytest.mark.parametrize("count", [1_000, 10_000])
@pytest.mark.parametrize("shape", ["blocks", "alternating", "joined when invisible characters are removed"])
def test_a_run_of_marks_is_sorted_in_linear_time(steps: list[int], marks: str, count: int, shape: str):
    if shape == "blocks":
        text = "a" + "".join(mark * count for mark in marks)
    elif shape == "alternating":
        text = "a" + marks * count
    else:
        text = "a" + (marks * 5 + "\u200b") * (count // 5)
    fold(text)
    # The library normalises short runs, such as those of real text, itself.
    assert len(steps) >= 2
    assert max(steps) <= 60 * len(text)


@given(text=RUNS)
def test_canonically_equivalent_runs_fold_alike(text: str):
    assert fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text)) == fold(text)


@given(text=RUNS)
def test_long_runs_fold_as_short_ones(text: str):
    """For runs of any length, folding gives the library's result."""
    expected = unicodedata.normalize("NFKD", text)
    expected = "".join(folding._REPLACED.get(c, c) for c in expected if not folding._CHANGED.fullmatch(c))
    assert fold(text) == unicodedata.normalize("NFC", expected)
