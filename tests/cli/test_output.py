"""What is printed: tables, excerpts, sizes; and the exposition that status reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_cli.arguments import json_object, seconds
from tandem_cli.exposition import samples, total
from tandem_cli.failures import UsageError
from tandem_cli.output import (
    highlighted,
    print_fields,
    print_json,
    print_table,
    printable,
    printable_lines,
    shown,
    size,
)


@given(st.text())
def test_a_printed_text_has_one_line_and_moves_no_cursor(text: str) -> None:
    told = printable(text)
    assert "\n" not in told
    assert "\x1b" not in told
    assert all(c.isprintable() or ord(c) > 159 for c in told)


@given(st.text(max_size=80), st.integers(1, 40), st.data())
def test_an_excerpt_is_bounded_and_shows_the_first_mark(text: str, limit: int, data: st.DataObject) -> None:
    spans: list[tuple[int, int]] = []
    if text:
        start = data.draw(st.integers(0, len(text) - 1))
        spans = [(start, data.draw(st.integers(start + 1, len(text))))]
    excerpt = highlighted(text, spans, limit)
    assert len(excerpt.plain) <= limit + 2
    if spans and printable(text[spans[0][0]]) == text[spans[0][0]]:
        assert excerpt.plain[excerpt.spans[0].start] == text[spans[0][0]]
    assert "  " not in excerpt.plain
    assert "\n" not in excerpt.plain


@pytest.mark.parametrize(
    ("count", "told"),
    [(None, None), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072.0 GiB")],
)
def test_sizes(count: int | None, told: str | None) -> None:
    assert size(count) == told


def test_cells() -> None:
    assert [shown(cell) for cell in (None, True, False, 1234567, 0.12345, "a\tb\x1b[2J")] == [
        "-",
        "yes",
        "no",
        "1,234,567",
        "0.123",
        "a b\\x1b[2J",
    ]


def test_a_table_has_tabs_between_its_cells_if_no_terminal_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "n"), [("[red]a\tb", 1)], empty="none")
    print_table(("id", "n"), [], empty="no [documents]")
    assert capsys.readouterr().out == "id\tn\n[red]a b\t1\nno [documents]\n"


HOSTILE = "a\x1b]0;title\x07\x9b31m\x7f\u202eb\r"
"""Sets the title of a terminal, changes its colour, turns the direction of writing, and returns to the line's start."""


def moves_nothing(told: str) -> bool:
    return not set(told) & set("\x1b\x07\x9b\x7f\u202e\r")


def test_a_text_of_several_lines_keeps_its_lines_and_moves_no_cursor() -> None:
    assert printable_lines("a\r\n\tb\x1b[2J\n") == "a\n\tb\\x1b[2J\n"
    assert moves_nothing(printable_lines(HOSTILE))
    assert moves_nothing(highlighted(HOSTILE, [], 80).plain)


def test_names_and_headings_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([(HOSTILE, HOSTILE)])
    print_table([HOSTILE], [[HOSTILE]], empty="none")
    assert moves_nothing(capsys.readouterr().out)


def test_json_moves_no_cursor_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE})
    told = capsys.readouterr().out
    assert moves_nothing(told)
    assert json.loads(told) == {"text": HOSTILE}


def test_samples_of_an_exposition() -> None:
    found = samples(
        '# HELP a b\n# TYPE a gauge\na 1\nb{x="1",y="q\\"} 2"} 2.5\nb{x="2"} 1e3 1700000000\nnonsense\nc NaNo\n'
    )
    assert found["b"] == [({"x": "1", "y": 'q"} 2'}, 2.5), ({"x": "2"}, 1000.0)]
    assert (total(found, "a"), total(found, "b"), total(found, "missing")) == (1, 1002.5, None)
    assert "c" not in found


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2592000)]
)
def test_durations(text: str | None, expected: int | None) -> None:
    assert seconds(text, "--grace") == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1.5h", "1w", "٣s"])
def test_a_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--grace: a duration such as 90s"):
        seconds(text, "--grace")


@pytest.mark.parametrize(
    ("text", "said"), [("{", "JSON was expected"), ("[]", "a JSON object was expected"), ("@missing", "cannot be read")]
)
def test_a_wrong_object_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--filter: .*{said}"):
        json_object(text, "--filter")


def test_a_file_of_json_is_read_up_to_a_limit_even_if_it_tells_no_size() -> None:
    with pytest.raises(UsageError, match="--filter: /dev/zero has more than"):
        json_object("@/dev/zero", "--filter")
