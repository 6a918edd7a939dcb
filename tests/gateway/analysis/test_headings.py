"""The heading of Markdown that a passage is under."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.analysis.headings import MAX_HEADING_CHARS, heading_of

TEXT = """before
# One #
text
## Two ##

more
```python
# a comment
```
last
### `code` in a heading
end"""


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        ("before", None),
        ("# One", "One"),
        ("text", "One"),
        ("## Two", "Two"),
        ("more", "Two"),
        ("# a comment", "Two"),
        ("last", "Two"),
        ("### `code`", "`code` in a heading"),
        ("end", "`code` in a heading"),
    ],
)
def test_the_last_heading_before_a_passage_counts(words: str, heading: str | None) -> None:
    assert heading_of(TEXT, TEXT.index(words)) == heading


@pytest.mark.parametrize("line", ["#hashtag", "    # indented", "####### seven", "# ", "##", "text # no"])
def test_a_line_that_is_no_heading_is_none(line: str) -> None:
    assert heading_of(f"{line}\ntext", len(line) + 1) is None


@pytest.mark.parametrize(
    ("line", "heading"),
    [("# C#", "C#"), ("# Learn F# today", "Learn F# today"), ("# C# #", "C#"), ("# C ##  ", "C"), ("# a#b##", "a#b##")],
)
def test_only_signs_after_a_space_close_a_heading(line: str, heading: str) -> None:
    assert heading_of(f"{line}\ntext", len(line) + 1) == heading


def test_a_long_heading_is_cut() -> None:
    assert heading_of(f"# {'x' * 1000}\ntext", 1003) == "x" * MAX_HEADING_CHARS


LINES = st.sampled_from(["# A", "## B ##", "text", "", "```", "~~~", "#no", "   ### C", "    # D", "#\tE", "# #"])


@given(st.lists(LINES, min_size=1, max_size=30), st.data())
def test_it_agrees_with_a_walk_over_the_lines(lines: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(lines) - 1))
    start = sum(len(line) + 1 for line in lines[:place])
    found, fence = None, None
    for line in lines[: place + 1]:
        if line in ("```", "~~~"):
            fence = None if fence == line else fence or line
        elif fence is None:
            found = {"# A": "A", "## B ##": "B", "   ### C": "C", "#\tE": "E"}.get(line, found)
    assert heading_of("\n".join(lines), start) == found
